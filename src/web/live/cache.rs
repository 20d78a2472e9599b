//! Fragments of the newest view, rendered once and shared by all streams that look at the same thing.

use super::super::{params::Params, state::DashboardState};
use super::fragments::{self, Fragment, Rendered};
use crate::monitor::view::View;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Different pages kept for one tick; further ones are rendered for their stream alone.
const MAX_PAGES: usize = 256;
/// Single rows kept for one tick.
const MAX_ROWS: usize = 4_096;

#[derive(Default)]
pub struct FragmentCache(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    position: String,
    pages: HashMap<String, Option<Arc<Rendered>>>,
    rows: HashMap<String, Option<Fragment>>,
}

impl Kept {
    fn at(&mut self, view: &View) {
        let position = super::position(view);
        if self.position != position {
            *self = Self { position, ..Self::default() };
        }
    }
}

impl FragmentCache {
    /// The fragments of the page that `params` name; `None` when its subject is gone or cannot be rendered.
    pub fn get(&self, dashboard: &DashboardState, view: &View, params: &Params) -> Option<Arc<Rendered>> {
        let key = params.without("since");
        {
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            kept.at(view);
            if let Some(found) = kept.pages.get(&key) {
                return found.clone();
            }
        }
        // Rendered outside the lock: two streams may do it twice, none waits for the other.
        let rendered = fragments::render(dashboard, view, params).map(Arc::new);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.at(view);
        if kept.pages.len() < MAX_PAGES {
            kept.pages.insert(key, rendered.clone());
        }
        rendered
    }

    /// One row that the page no longer lists, by its id.
    pub fn row(&self, dashboard: &DashboardState, view: &View, params: &Params, id: &str) -> Option<Fragment> {
        {
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            kept.at(view);
            if let Some(found) = kept.rows.get(id) {
                return found.clone();
            }
        }
        let row = fragments::row(dashboard, view, params, id);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.at(view);
        if kept.rows.len() < MAX_ROWS {
            kept.rows.insert(id.to_owned(), row.clone());
        }
        row
    }
}
