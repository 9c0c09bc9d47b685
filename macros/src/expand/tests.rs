//! Compares expansions of the attribute with the source files `snapshots/*.rs`.
//!
//! `UPDATE_SNAPSHOTS=1 cargo test -p tollgate-macros` rewrites the files. Read the difference
//! before you commit it.

use std::fs;
use std::path::Path;

use proc_macro2::{TokenStream, TokenTree};
use quote::quote;

use super::rate_limit;

/// Expands the attribute and compares the result with the snapshot of this name.
pub(super) fn snapshot(name: &str, arguments: TokenStream, item: TokenStream) {
    let expansion = rate_limit(arguments, item);
    let file: syn::File = syn::parse2(expansion).unwrap();
    let source = prettyplease::unparse(&file);
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/expand/snapshots")
        .join(name)
        .with_extension("rs");
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(path, source).unwrap();
    } else {
        let expected = fs::read_to_string(&path).unwrap();
        assert_eq!(source, expected, "{} differs", path.display());
    }
}

fn handler() -> TokenStream {
    quote! {
        /// Documented.
        #[tracing::instrument]
        pub async fn create(State(app): State<App>, Json(body): Json<Body>) -> Result<impl IntoResponse, Error> {
            app.create(body).await
        }
    }
}

fn function() -> TokenStream {
    quote! {
        async fn send(&mut self, to: &str) -> Result<&Receipt, SendError> {
            self.deliver(to).await
        }
    }
}

#[test]
fn handler_mode() {
    snapshot("handler", quote!(100, per = 60, skip_on_error), handler());
}

/// No other attribute processes this handler, so the expansion can return the library's own future.
#[test]
fn handler_mode_alone() {
    let item = quote! {
        pub async fn create(State(app): State<App>, mut body: Json<Body>, _: Permit) -> Json<Order> {
            app.create(body).await
        }
    };
    snapshot("handler_alone", quote!(100, per = 60), item);
}

/// The elements of a tuple cannot have attributes, so the expansion contains one function for each
/// combination of the `#[cfg(…)]` conditions.
#[test]
fn handler_mode_with_cfg() {
    let item = quote! {
        #[debug_handler(state = App)]
        async fn show(#[cfg(unix)] Path(id): Path<u32>, #[allow(unused)] body: String) {}
    };
    snapshot("handler_with_cfg", quote!(100, per = 60), item);
}

#[test]
fn handler_mode_with_every_option() {
    let arguments = quote! {
        LIMIT, per = PERIOD, algorithm = gcra, burst = 5, key = (ip, self::tenant), cost = self::weight,
        quota = self::plan, name = "orders", on_error = open, exempt = self::internal, on_blocked = self::log,
        refund_if = failure, ban(after = AFTER, for = "15m", grow = 2, most = LONGEST), shadow,
        headers = both, refusal = self::slow_down, on_missing_key = shared
    };
    snapshot("handler_with_every_option", arguments, handler());
}

/// One limit is checked before the arguments are extracted, and two after that.
#[test]
fn handler_mode_with_arguments() {
    let item = quote! {
        #[rate_limit(5, per = second, key = (args(body.email, app.id), ip), cost = args(body.items.len()))]
        #[rate_limit(5, per = second, key = args(body.id), cost = args(body.units), wait = "1s")]
        async fn create(State(app): State<App>, Json(mut body): Json<Body>) -> Json<Order> {
            app.create(body).await
        }
    };
    snapshot("handler_with_arguments", quote!(100, per = 60), item);
}

/// The only limit is checked after the extraction. It settles at a `Usage` among the arguments.
#[test]
fn handler_mode_with_arguments_alone() {
    let item = quote! {
        async fn answer(usage: Usage, Json(body): Json<Body>) -> Response {
            stream(usage, body)
        }
    };
    let arguments =
        quote!(10_000, per = minute, key = (args(body.team), ip), ban(after = 5, for = 60));
    snapshot("handler_with_arguments_alone", arguments, item);
}

#[test]
fn handler_mode_with_settlements() {
    let mut item = quote! {
        #[rate_limit(10_000, per = minute, key = header("x-api-key"), cost = 500, settle = usage)]
        #[rate_limit(100_000, per = day, key = global, settle = self::tokens)]
    };
    item.extend(handler());
    snapshot("handler_with_settlements", quote!(100, per = 60), item);
}

#[test]
fn stacked() {
    let mut item =
        quote!(#[rate_limit(1_000, per = hour)] #[rate_limit(5, per = second, key = global)]);
    item.extend(handler());
    snapshot("stacked", quote!(100, per = 60), item);
}

#[test]
fn calendars() {
    let mut item = quote!(#[rate_limit(5, per = calendar(day, "Europe/Berlin"))]);
    item.extend(handler());
    snapshot("calendars", quote!(100, per = calendar(month), algorithm = fixed_window), item);
}

/// The limit of the first key has no quota, and that of the second is one decision with its quota.
#[test]
fn handler_mode_in_flight() {
    let mut item = quote! {
        #[rate_limit(in_flight = MOST, hold = HOLD, key = global, wait = "5s")]
        #[rate_limit(5, per = second, key = global)]
    };
    item.extend(handler());
    snapshot("handler_in_flight", quote!(in_flight = 20), item);
}

/// The permit is held until the end of the body, also if nothing else follows that.
#[test]
fn function_mode_in_flight() {
    snapshot(
        "function_in_flight",
        quote!(in_flight = 2, hold = "10m", key = args(self.id)),
        function(),
    );
}

#[test]
fn function_mode() {
    snapshot(
        "function",
        quote!(10, per = second, key = args(self.id, to), wait = "1s"),
        function(),
    );
}

#[test]
fn function_mode_with_a_cost() {
    snapshot(
        "function_with_cost",
        quote!(10, per = second, key = args(), cost = args(to.len() + 1)),
        function(),
    );
}

#[test]
fn function_mode_with_a_refund() {
    snapshot(
        "function_with_refund",
        quote!(10, per = second, key = args(), refund_if = failure),
        function(),
    );
}

#[test]
fn function_mode_with_a_settlement() {
    let mut item = quote!(#[rate_limit(3, per = hour, key = args(self.id), refund_if = success)]);
    item.extend(function());
    let arguments = quote!(10, per = second, key = args(), settle = self::parts);
    snapshot("function_with_settlement", arguments, item);
}

#[test]
fn sync_function() {
    let item = quote!(
        fn read(path: &Path) -> io::Result<Vec<u8>> {
            fs::read(path)
        }
    );
    snapshot("sync_function", quote!(10, per = second, refund_if = self::is_empty), item);
}

#[test]
fn impl_block() {
    let item = quote! {
        impl<T> Api<T> {
            const VERSION: u32 = 1;

            #[rate_limit(10, per = second)]
            async fn list(State(api): State<Self>) -> String {
                api.list().await
            }

            fn unlimited(&self) {}
        }
    };
    snapshot("impl_block", TokenStream::new(), item);
}

/// With `crate = …`, the expansion does not mention the default path `::tollgate` in any mode.
#[test]
fn the_default_path_does_not_leak() {
    let options = quote! {
        10, per = PERIOD, algorithm = gcra, burst = BURST, on_error = open, on_blocked = self::log,
        refund_if = failure, ban(after = AFTER, for = LENGTH, most = 60), in_flight = MOST,
        hold = HOLD, shadow, crate = ::renamed
    };
    let for_handlers = quote! {
        cost = self::weight, exempt = self::internal, headers = none, refusal = self::answer,
        on_missing_key = exempt,
        key = (ip, global, header("a"), cookie("b"), query("c"), path_param("d"), extension(E), self::f)
    };
    let sync = quote!(
        fn read() -> io::Result<()> {
            read_all()
        }
    );
    let block = quote! {
        impl Api {
            #[rate_limit(10, per = second)]
            async fn list() {}
        }
    };
    for expansion in [
        rate_limit(quote!(#options, #for_handlers), handler()),
        rate_limit(quote!(#options, key = args(to), cost = 2), function()),
        rate_limit(quote!(#options, key = args(to), cost = args(to.len())), function()),
        rate_limit(quote!(#options, key = (args(body), ip), cost = args(body.len())), handler()),
        rate_limit(options, sync),
        rate_limit(quote!(crate = ::renamed), block),
    ] {
        assert!(names(expansion.clone(), "renamed"));
        assert!(!names(expansion.clone(), "compile_error"), "{expansion}");
        assert!(!names(expansion.clone(), "tollgate"), "{expansion}");
    }
}

/// Returns `true` if the identifier occurs anywhere in the tokens.
fn names(tokens: TokenStream, name: &str) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == name,
        TokenTree::Group(group) => names(group.stream(), name),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

/// The macro does not panic on any input, and its output ends with the item.
#[test]
fn nothing_makes_it_panic() {
    let junk = [
        quote!(),
        quote!(,),
        quote!(= = =),
        quote!(per per per),
        quote!(100 per),
        quote!(key = args(), key),
        quote!(key = (), per = 1),
        quote!(key = header()),
        quote!(key = args(,)),
        quote!(crate =),
        quote!(ban(), ban(=), ban(after), ban(for = )),
        quote!(ban(after = 5 for = 6), settle = usage()),
        quote!(in_flight, hold = , in_flight()),
        quote!([1, 2], { 3 }),
        quote!(1e9, 'a', b"x", -1),
        quote!(per = "", cost = -1, name = ""),
    ];
    let items = [
        quote!(),
        quote!(fn),
        quote!(async fn f),
        quote!(async fn f()),
        quote!(
            async fn f();
        ),
        quote!(fn f(self, &mut self) -> Self { }),
        quote!(impl),
        quote!(impl X),
        quote!(impl X { fn }),
        quote!(impl X { #[rate_limit] async fn f() }),
        quote!(
            #[rate_limit = 3]
            async fn f(x: [u8; { 2 }]) {}
        ),
        quote!(
            struct S {
                a: u8,
            }
        ),
        quote!(
            trait T {
                async fn f();
            }
        ),
        quote!(
            pub(in a::b) unsafe extern "C" fn f() {}
        ),
    ];
    for arguments in &junk {
        for item in &items {
            let expansion = rate_limit(arguments.clone(), item.clone()).to_string();
            let kept = crate::fallback::item(item.clone()).to_string();
            assert!(expansion.ends_with(&kept), "{arguments} on {item}: {expansion}");
            assert!(expansion.contains("compile_error"), "{arguments} on {item}: {expansion}");
        }
    }
}

/// Passes random sequences of argument tokens to the attribute on a handler, on a function and on
/// an `impl` block. The output must parse: it is a `compile_error!` or an expansion.
#[test]
fn no_arguments_make_it_panic() {
    const WORDS: [&str; 54] = [
        "per",
        "algorithm",
        "burst",
        "key",
        "cost",
        "name",
        "group",
        "skip_on_error",
        "on_error",
        "exempt",
        "on_blocked",
        "refund_if",
        "shadow",
        "wait",
        "crate",
        "settle",
        "usage",
        "in_flight",
        "in_flight = 20",
        "hold",
        "ban",
        "ban(after = 5, for = \"1h\", grow = X, most = 60)",
        "(after = , for, = 1, most = -1)",
        "=",
        "=",
        "=",
        "=",
        ",",
        ",",
        ",",
        ",",
        "::",
        "100",
        "0",
        "60",
        "-",
        "1.5",
        "\"1m\"",
        "\"\"",
        "\"x-a\"",
        "LIMIT",
        "self::f",
        "ip",
        "global",
        "header(\"a\")",
        "args(a.b, c)",
        "(ip, query(\"q\"))",
        "(args(body.a), ip)",
        "args(to.len())",
        "gcra",
        "failure",
        "extension(Vec<u8>)",
        "Self::X",
        "{ 1 + 2 }",
    ];
    let block = quote! {
        impl Api {
            #[rate_limit(10, per = second)]
            async fn list() {}
        }
    };
    let sync = quote!(
        fn read() -> io::Result<()> {
            read_all()
        }
    );
    // A pseudo-random generator with a fixed seed, so that failures are reproducible.
    let mut state = 1_u64;
    let mut below = |bound: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound
    };
    let is_full = std::env::var("TOLLGATE_TEST_SCALE").is_ok_and(|scale| scale == "full");
    let mut expanded = 0;
    for _ in 0..if is_full { 4_000 } else { 250 } {
        let count = below(14);
        let prefix = if below(2) == 0 { "100, per = 60, " } else { "" };
        let text: String = (0..count)
            .map(|_| WORDS[below(WORDS.len())])
            .fold(prefix.to_owned(), |text, word| text + word + " ");
        let arguments: TokenStream = text.parse().unwrap();
        for item in [handler(), function(), sync.clone(), block.clone()] {
            let expansion = rate_limit(arguments.clone(), item);
            let file: syn::File = syn::parse2(expansion.clone())
                .unwrap_or_else(|error| panic!("{text}: {error}: {expansion}"));
            expanded += usize::from(!names(expansion, "compile_error"));
            assert!(!file.items.is_empty());
        }
    }
    assert!(expanded > 20, "only {expanded} were right");
}
