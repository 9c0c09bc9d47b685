//! What is emitted when there are mistakes: the user's own item, so that nothing else breaks
//! and editors keep working.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The item without other attributes of ours, which would report on their own.
pub(crate) fn item(tokens: TokenStream) -> TokenStream {
    let mut kept = Vec::<TokenTree>::new();
    let mut attributes_may_follow = true;
    for token in tokens {
        let is_attribute = attributes_may_follow
            && matches!(&token, TokenTree::Group(group) if group.delimiter() == Delimiter::Bracket)
            && matches!(kept.last(), Some(TokenTree::Punct(hash)) if hash.as_char() == '#');
        if is_attribute && is_ours(&token) {
            kept.pop();
            continue;
        }
        let is_hash = matches!(&token, TokenTree::Punct(hash) if hash.as_char() == '#');
        attributes_may_follow &= is_attribute || is_hash;
        kept.push(token);
    }
    kept.into_iter().collect()
}

/// Whether this is `[rate_limit(…)]` or `[path::rate_limit(…)]`.
fn is_ours(attribute: &TokenTree) -> bool {
    let TokenTree::Group(group) = attribute else { return false };
    let path = group.stream().into_iter().take_while(|token| !matches!(token, TokenTree::Group(_)));
    matches!(path.last(), Some(TokenTree::Ident(name)) if name == "rate_limit")
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
            pub async fn f(x: [u8; 2]) { #[rate_limit] fn inner() {} }
        };
        let expected = quote! {
            /// Documented.
            #[inline]
            pub async fn f(x: [u8; 2]) { #[rate_limit] fn inner() {} }
        };
        assert_eq!(item(source).to_string(), expected.to_string());
    }
}
