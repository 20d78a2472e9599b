//! Pages in other exporters' formats: written when asked for, kept until the next view.

use super::{ExpositionSettings, Format, Order, write};
use crate::metrics::TextWriter;
use crate::monitor::{Published, exposition::Exposition, view::View};
use std::sync::Arc;
use tokio::sync::Mutex;

/// Writes each page at most once per view; nobody pays for a format that is not scraped.
pub struct FormatPages {
    settings: ExpositionSettings,
    published: Arc<Published>,
    /// Of the latest view that was asked for. At most one for each format, strictness and cluster.
    written: Mutex<Vec<(Order, Arc<Exposition>)>>,
}

/// Why there is no page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    NoSuchCluster,
    /// Writing it ended with a defect.
    NotWritten,
}

impl FormatPages {
    pub fn new(settings: ExpositionSettings, published: Arc<Published>) -> Arc<Self> {
        Arc::new(Self { settings, published, written: Mutex::default() })
    }

    /// The page of the latest view. `cluster` names the only cluster to be on it. One page is written at a time, off the async
    /// threads; who asks for the same one meanwhile waits for it.
    pub async fn page(&self, format: Format, strict: bool, cluster: Option<&str>) -> Result<Arc<Exposition>, Missing> {
        let view = self.published.latest();
        let cluster = match cluster {
            None => None,
            Some(name) => Some(index_of(&view, name).ok_or(Missing::NoSuchCluster)?),
        };
        let order = Order { format, strict, cluster };
        let mut written = self.written.lock().await;
        let last = written.iter().find(|(of, _)| *of == order).map(|(_, page)| Arc::clone(page));
        if let Some(page) = last.as_ref().filter(|page| page.tick >= view.tick) {
            return Ok(Arc::clone(page));
        }
        let (settings, capacity) = (self.settings, last.map_or(0, |page| page.text_bytes + 4_096));
        let published = Arc::clone(&self.published);
        let page = tokio::task::spawn_blocking(move || encode(&published.held(), order, settings, capacity));
        let page = Arc::new(page.await.map_err(|error| {
            tracing::error!(%error, "a page in another exporter's format could not be written");
            Missing::NotWritten
        })?);
        written.retain(|(of, kept)| *of != order && kept.tick >= page.tick);
        written.push((order, Arc::clone(&page)));
        Ok(page)
    }
}

fn index_of(view: &View, name: &str) -> Option<usize> {
    view.clusters.iter().position(|cluster| cluster.name.as_ref() == name)
}

fn encode(view: &View, order: Order, settings: ExpositionSettings, capacity: usize) -> Exposition {
    let (text, dropped) = write(view, order, settings, capacity);
    let mut out = TextWriter::compressing();
    out.text(&text);
    let (gzip, text_bytes) = out.finish_compressed();
    Exposition { tick: view.tick, gzip, text_bytes, dropped, ..Exposition::default() }
}
