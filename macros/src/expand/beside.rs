//! Compares expansions beside attributes of other crates.

use proc_macro2::TokenStream;
use quote::quote;

use super::tests::snapshot;
use super::{rate_limit, rate_limit_in_block, rate_limit_last};

fn text(tokens: TokenStream) -> String {
    tokens.to_string().replace(' ', "")
}

/// All attributes that may read the handler as it was written come first, in their order. What no
/// macro processes stays, and so do limits that are stacked.
#[test]
fn other_attributes_of_a_handler_are_expanded_first() {
    let item = quote! {
        /// Documented.
        #[utoipa::path(get, path = "/")]
        #[rate_limit(1000, per = day)]
        #[allow(unused)]
        #[fastrace::trace]
        #[instrument]
        async fn list(State(app): State<App>) -> String { app.list() }
    };
    let expected = quote! {
        #[utoipa::path(get, path = "/")]
        #[fastrace::trace]
        #[::tollgate::__private::rate_limit_last(100, per = 60)]
        /// Documented.
        #[rate_limit(1000, per = day)]
        #[allow(unused)]
        #[instrument]
        async fn list(State(app): State<App>) -> String { app.list() }
    };
    assert_eq!(text(rate_limit(quote!(100, per = 60), item)), text(expected));
}

/// Otherwise the expansion would never end.
#[test]
fn attributes_are_moved_once() {
    let item = || {
        quote!(
            #[unknown]
            async fn list() {}
        )
    };
    let krate = quote!(100, per = 60, crate = crate::web);
    let once = text(rate_limit(krate.clone(), item()));
    assert!(once.contains("#[unknown]#[crate::web::__private::rate_limit_last("), "{once}");
    let twice = text(rate_limit_last(krate, item()));
    assert!(!twice.contains("rate_limit_last"), "{twice}");
}

/// Their order says if a refusal is inside of a span, or in a cache.
#[test]
fn other_attributes_of_a_function_stay() {
    let item = quote!(
        #[cached]
        async fn list(id: u32) -> R {}
    );
    let expansion = text(rate_limit(quote!(100, per = 60, key = args(id)), item));
    assert!(expansion.starts_with("#[cached]asyncfnlist"), "{expansion}");
}

#[test]
fn refusals_in_the_error_of_another_crate() {
    let item = quote! {
        #[rate_limit(100, per = hour)]
        #[rate_limit(10, per = hour, key = args(tenant), refusal = Self::busy)]
        async fn call(&self, user: u32, tenant: u32) -> Result<Reply, Status> { self.answer() }
    };
    snapshot(
        "function_with_refusals",
        quote!(1, per = 60, key = args(user), refusal = self::busy),
        item,
    );
}

#[test]
fn a_future_is_adjusted_after_it() {
    let item = quote! {
        fn call(&self) -> Pin<Box<dyn Future<Output = Result<u32, E>> + Send + '_>> {
            Box::pin(async move { self.answer().await })
        }
    };
    snapshot("future", quote!(1, per = 60, wait = "1s", refund_if = failure), item);
}

#[test]
fn conditions_in_a_block() {
    let item = quote! {
        impl Api {
            #[cfg_attr(feature = "limits", rate_limit(1, per = 60), allow(unused))]
            async fn list() {}
        }
    };
    snapshot("block_with_cfg_attr", TokenStream::new(), item);
}

/// In a block, too, a handler's other attributes come first, and a function's keep their places.
#[test]
fn other_attributes_in_a_block() {
    let item = quote! {
        impl<T: Clone> Api<T> {
            #[rate_limit(1, per = 60)]
            #[instrument]
            #[allow(unused)]
            async fn list() {}

            #[instrument]
            #[rate_limit(1, per = 60, key = args(), crate = ::own)]
            #[cached]
            async fn call() -> R {}

            #[rate_limit(1, per = 60, key = args())]
            #[instrument]
            async fn inside() -> R {}
        }
    };
    let expansion = text(rate_limit(quote!(crate = ::web), item));
    for expected in [
        quote! {
            #[instrument]
            #[::web::__private::rate_limit_in_block("Api" <T: Clone>; crate = ::web, 1, per = 60)]
            #[allow(unused)]
            async fn list() {}
        },
        quote! {
            #[instrument]
            #[::own::__private::rate_limit_in_block(
                "Api" <T: Clone>; 1, per = 60, key = args(), crate = ::own
            )]
            #[cached]
            async fn call() -> R {}
        },
        quote!(#[instrument] async fn inside() -> R { let _ }),
    ] {
        let expected = expected.to_string();
        let expected = expected.trim_end_matches(" }").replace(' ', "");
        assert!(expansion.contains(&expected), "{expected}\n{expansion}");
    }
    assert_eq!(expansion.matches("struct__rate_limit_Api_list;").count(), 1, "{expansion}");
}

/// The block's attribute has declared what stands beside it.
#[test]
fn a_handler_of_a_block_is_expanded_within_it() {
    let item = quote!(
        async fn list(State(api): State<Self>) {}
    );
    let expansion = text(rate_limit_in_block(quote!("Api" <T>; 1, per = 60), item));
    assert!(!expansion.contains("struct"), "{expansion}");
    assert!(expansion.contains("<__rate_limit_Api_list,(State<Self>,)>"), "{expansion}");
}
