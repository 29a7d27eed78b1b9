//! Labels that say which app and component a metric, a log entry or a span belongs to.

/// Names of an app and its component. Both are empty for requests that match no route.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Labels {
    pub app: String,
    pub component: String,
}

impl Labels {
    pub fn new(app: &str, component: &str) -> Self {
        Labels { app: app.to_owned(), component: component.to_owned() }
    }

    /// Returns the labels as pairs of name and value.
    pub fn pairs(&self) -> [(&'static str, &str); 2] {
        [("app", &self.app), ("component", &self.component)]
    }
}
