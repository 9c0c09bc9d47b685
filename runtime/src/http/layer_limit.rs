//! The limit that a layer and its services share.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use axum::http::request::Parts;

use super::check::with_limiter;
use super::limit::HttpLimit;
use super::skip::Skip;
use crate::{Limiter, Policy};

/// The limit of a layer, in a shared allocation.
#[derive(Clone)]
pub(super) struct LayerLimit(Arc<LayerOptions>);

/// The limit of a layer, with the options that only layers have.
#[derive(Clone)]
pub(super) struct LayerOptions {
    pub(super) limit: HttpLimit,
    pub(super) skip: Skip,
    pub(super) limiter: Option<Limiter>,
    /// `true` if the key's subject has to be awaited.
    pub(super) has_async_key: bool,
}

impl LayerLimit {
    pub(super) fn new(policy: Policy) -> Self {
        let options = LayerOptions {
            limit: HttpLimit::of_layer(policy),
            skip: Skip::default(),
            limiter: None,
            has_async_key: false,
        };
        Self(Arc::new(options))
    }

    /// Changes the options of this layer. Its existing clones do not change.
    pub(super) fn change(mut self, change: impl FnOnce(&mut LayerOptions)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    pub(super) fn skips(&self, parts: &Parts) -> bool {
        self.0.skip.contains(parts)
    }

    /// Returns `true` if a request has to be awaited before the backend is asked.
    pub(super) fn has_to_wait(&self) -> bool {
        let LayerOptions { has_async_key, limit, .. } = &*self.0;
        *has_async_key || limit.wait.is_some() || limit.plans.is_some()
    }

    /// Calls `function` with the layer's own limiter if it has one, or else with the request's.
    pub(super) fn with_limiter<T>(&self, parts: &Parts, function: impl FnOnce(&Limiter) -> T) -> T {
        match &self.0.limiter {
            Some(limiter) => function(limiter),
            None => with_limiter(parts, function),
        }
    }
}

impl Deref for LayerLimit {
    type Target = HttpLimit;

    fn deref(&self) -> &HttpLimit {
        &self.0.limit
    }
}

impl fmt::Debug for LayerLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.limit.fmt(f)
    }
}
