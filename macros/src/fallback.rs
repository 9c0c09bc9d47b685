//! The macro's output after mistakes: the user's own item. With it, other code that uses the item
//! still compiles, and editors still understand the item.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

use crate::groups;
use crate::item::mentions;

/// Returns the item without its remaining `rate_limit` attributes, and without those on the
/// functions of an `impl` block. The compiler would expand these attributes separately and report
/// the mistakes again.
pub(crate) fn item(tokens: TokenStream) -> TokenStream {
    let mut kept = Vec::<TokenTree>::new();
    let mut is_block = false;
    for token in tokens {
        match token {
            TokenTree::Group(group) if is_ours(&group) && ends_in_hash(&kept) => {
                kept.pop();
            }
            TokenTree::Group(group)
                if group.delimiter() == Delimiter::None
                    || is_block && group.delimiter() == Delimiter::Brace =>
            {
                // An invisible group may contain attributes, or a whole item.
                let mut inner = Group::new(group.delimiter(), item(group.stream()));
                inner.set_span(group.span());
                kept.push(inner.into());
            }
            token => {
                is_block |= matches!(&token, TokenTree::Ident(word) if word == "impl")
                    && !kept
                        .iter()
                        .any(|token| matches!(token, TokenTree::Ident(word) if word == "fn"));
                kept.push(token);
            }
        }
    }
    kept.into_iter().collect()
}

fn ends_in_hash(tokens: &[TokenTree]) -> bool {
    matches!(tokens.last(), Some(TokenTree::Punct(hash)) if hash.as_char() == '#')
}

/// Returns `true` if the brackets contain this macro's attribute: `[rate_limit(…)]`,
/// `[path::rate_limit(…)]` or `[cfg_attr(…, rate_limit(…))]`.
fn is_ours(group: &Group) -> bool {
    let content = groups::stream(group.stream()).into_iter().map(groups::tree);
    let content: Vec<TokenTree> = content.collect();
    let path = content.iter().take_while(|token| !matches!(token, TokenTree::Group(_)));
    let (Delimiter::Bracket, Some(TokenTree::Ident(name))) = (group.delimiter(), path.last())
    else {
        return false;
    };
    name == "rate_limit" || name == "cfg_attr" && mentions(group.stream(), "rate_limit")
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::*;

    #[test]
    fn keeps_all_but_our_attributes() {
        let source = quote! {
            /// Documented.
            #[rate_limit(1, per = 60)]
            #[inline]
            #[tollgate::rate_limit(1, per = 60)]
            pub async fn f(x: [u8; 2]) -> impl Sized { #[rate_limit] fn inner() {} }
        };
        let expected = quote! {
            /// Documented.
            #[inline]
            pub async fn f(x: [u8; 2]) -> impl Sized { #[rate_limit] fn inner() {} }
        };
        assert_eq!(item(source).to_string(), expected.to_string());
    }

    #[test]
    fn keeps_a_block_without_our_attributes_on_its_functions() {
        let source = quote! {
            impl<T> Api<T> {
                #[rate_limit(1, per = 60)]
                async fn f() {}
                #[inline]
                fn g() { #[rate_limit] fn inner() {} }
            }
        };
        let expected = quote! {
            impl<T> Api<T> {
                async fn f() {}
                #[inline]
                fn g() { #[rate_limit] fn inner() {} }
            }
        };
        assert_eq!(item(source).to_string(), expected.to_string());
    }
}
