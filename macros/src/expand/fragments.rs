//! Compares expansions of items whose parts come from a macro by example with those of the same items
//! without one. The compiler puts each such part into a group without delimiters.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use quote::quote;

use super::rate_limit;

/// A function that returns a part of an item as a macro by example inserts it, or unchanged.
type Fragment = fn(TokenStream) -> TokenStream;

fn grouped(part: TokenStream) -> TokenStream {
    TokenTree::from(Group::new(Delimiter::None, part)).into()
}

/// Returns the part in two groups, as after two macros.
fn grouped_twice(part: TokenStream) -> TokenStream {
    grouped(grouped(part))
}

fn without_groups(tokens: TokenStream) -> TokenStream {
    let tokens = tokens.into_iter().flat_map(|token| match token {
        TokenTree::Group(group) if group.delimiter() == Delimiter::None => {
            without_groups(group.stream())
        }
        TokenTree::Group(group) => {
            TokenTree::from(Group::new(group.delimiter(), without_groups(group.stream()))).into()
        }
        token => token.into(),
    });
    tokens.collect()
}

/// Compares the expansions of what `source` returns for each kind of fragment: the arguments of the
/// attribute, and the item.
fn alike(source: impl Fn(Fragment) -> (TokenStream, TokenStream)) {
    let expansion = |fragment| {
        let (arguments, item) = source(fragment);
        without_groups(rate_limit(arguments, item)).to_string().replace(' ', "")
    };
    let plain = expansion(|part| part);
    for fragment in [grouped as Fragment, grouped_twice] {
        assert_eq!(expansion(fragment), plain);
    }
}

#[test]
fn handlers() {
    alike(|part| {
        let [vis, name, body] = [quote!(pub(crate)), quote!(list), quote!({ Ok(app.list(id)) })];
        let [vis, name, body] = [vis, name, body].map(part);
        let types = [
            quote!(State<App>),
            quote!((Path<u32>, RateLimit)),
            quote!(Result<Json<Vec<Order>>, E>),
        ];
        let [state, path, output] = types.map(part);
        let [state_pattern, path_pattern] = [quote!(State(app)), quote!((Path(id), _))].map(part);
        let arguments =
            [quote!(2 * 50), quote!("1m"), quote!(header("x-api-key")), quote!(self::cost)];
        let [limit, period, key, cost] = arguments.map(part);
        (
            quote!(#limit, per = #period, key = #key, cost = #cost, refund_if = failure),
            quote! {
                #[debug_handler]
                #vis async fn #name(#state_pattern: #state, #path_pattern: #path) -> #output #body
            },
        )
    });
}

#[test]
fn functions() {
    alike(|part| {
        let [literal, key, refusal] =
            [quote!(10), quote!(args(user.id, to)), quote!(self::e)].map(part);
        let [ty, output, body] =
            [quote!(&User), quote!(io::Result<()>), quote!({ send(to) })].map(part);
        let meta = part(quote!(rate_limit(5, per = day, key = args(to))));
        (
            quote!(#literal, per = second, key = #key, refusal = #refusal),
            quote!(#[#meta] fn send(user: #ty, to: &str) -> #output #body),
        )
    });
}

#[test]
fn futures() {
    for boxed in [true, false] {
        alike(|part| {
            let block = part(quote!({ self.deliver(to).await }));
            let future =
                if boxed { quote!(Box::pin(async move #block)) } else { quote!(async move #block) };
            let future = part(future);
            (
                quote!(10, per = second, key = args(to), wait = "1s"),
                quote!(fn send(&self, to: u32) -> Pin<Box<dyn Future<Output = R>>> { #future }),
            )
        });
    }
}

#[test]
fn blocks() {
    alike(|part| {
        let ty = part(quote!(api::Api<T>));
        let member = part(quote! {
            #[rate_limit(1, per = 60)]
            async fn list(State(_): State<Self>) {}
        });
        let [constant, other] = [
            quote!(
                const N: u32 = 1;
            ),
            quote!(
                pub fn other(&self) {}
            ),
        ]
        .map(part);
        let body = part(
            quote!({ #constant #member #other #[rate_limit(2, per = 60)] async fn show() {} }),
        );
        (TokenStream::new(), quote!(impl<T: Clone> #ty #body))
    });
}

#[test]
fn mistakes() {
    for ty in [quote!(&str), quote!(u32)] {
        alike(|part| {
            let ty = part(ty.clone());
            (quote!(1, per = 60), quote!(async fn handler(x: #ty) {}))
        });
    }
    for limit in [quote!(0), quote!("5"), quote!(-1)] {
        alike(|part| {
            let limit = part(limit.clone());
            (
                quote!(#limit, per = 60),
                quote!(
                    async fn handler() {}
                ),
            )
        });
    }
    // The functions' attributes are left out, and so is a whole item's.
    alike(|part| {
        let [meta, item] = [
            quote!(rate_limit(1)),
            quote!(
                async fn f() {}
            ),
        ]
        .map(part);
        let item = part(quote!(#[#meta] #item));
        (quote!(0, per = 60), item)
    });
    alike(|part| {
        let [name, key] = [quote!(args(x)), quote!(args(id + x))].map(part);
        (
            quote!(1, per = 60, key = #name, cost = #key),
            quote!(
                fn call(id: u32) -> R {}
            ),
        )
    });
}
