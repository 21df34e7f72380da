//! Bodies a test gives instead of those of the universe.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::answer::dressed;
use super::request::Request;
use super::response::Response;
use super::route::Route;

/// What is served in place of the universe.
#[derive(Default)]
pub(crate) struct Given {
    places: Mutex<HashMap<Place, What>>,
}

#[derive(Eq, Hash, PartialEq)]
enum Place {
    Route(Route),
    Path(String),
}

enum What {
    Same(Response),
    /// One response per page, and `[]` after the last.
    Pages(Vec<Response>),
}

impl Given {
    pub(crate) fn put(&self, route: Route, response: Response) {
        self.locked().insert(Place::Route(route), What::Same(response));
    }

    pub(crate) fn put_pages(&self, route: Route, pages: Vec<Response>) {
        self.locked().insert(Place::Route(route), What::Pages(pages));
    }

    pub(crate) fn put_at(&self, path: &str, response: Response) {
        self.locked().insert(Place::Path(path.to_owned()), What::Same(response));
    }

    pub(crate) fn clear(&self) {
        self.locked().clear();
    }

    pub(crate) fn find(&self, request: &Request) -> Option<Response> {
        let places = self.locked();
        let by_path = places.get(&Place::Path(request.path.clone()));
        match by_path.or_else(|| places.get(&Place::Route(request.route)))? {
            What::Same(response) => Some(response.clone()),
            What::Pages(pages) => {
                let page = pages.get(request.page() - 1).cloned();
                Some(page.unwrap_or_else(|| dressed(request.route, "[]")))
            }
        }
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<Place, What>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
