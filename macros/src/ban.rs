//! Parses the argument `ban(after = 5, for = "15m", grow = 2, most = "1d")`.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::ext::IdentExt as _;
use syn::parse::ParseStream;
use syn::spanned::Spanned as _;
use syn::{Expr, ExprLit, Lit, Token, parenthesized};

use crate::crate_path::CratePath;
use crate::errors::Errors;
use crate::period::{Length, Period, parse_expression};
use crate::suggest;

/// The shortest form, for error messages.
pub(crate) const GRAMMAR: &str = "ban(after = 5, for = \"15m\")";

/// The name of every part, with an example of its use for error messages.
const PARTS: [(&str, &str); 4] = [
    ("after", "after = 5"),
    ("for", "for = \"15m\""),
    ("grow", "grow = 2"),
    ("most", "most = \"1d\""),
];

/// The rule by which subjects that are refused again and again are shut out. Its literals have been
/// checked; the expansion checks its constants.
#[derive(Clone)]
pub(crate) struct Ban {
    after: Expr,
    first: Period,
    grow: Option<Expr>,
    most: Option<Period>,
}

#[derive(Default)]
struct Parts {
    after: Option<Expr>,
    first: Option<Period>,
    grow: Option<Expr>,
    most: Option<Period>,
    /// The names of the parts, valid or not.
    present: Vec<String>,
    /// The names of parts that were probably meant by something else, so that they are not reported
    /// as missing, too.
    meant: Vec<String>,
}

impl Ban {
    /// Parses the parentheses after `ban`, which `name` is. All mistakes are in one error.
    pub(crate) fn parse(name: &Ident, input: ParseStream<'_>) -> syn::Result<Self> {
        let content;
        parenthesized!(content in input);
        let mut errors = Errors::default();
        let mut parts = Parts::default();
        while !content.is_empty() {
            if let Err(error) = parts.parse_one(&content) {
                errors.push(error);
                parts.skip_to_comma(&content)?;
            }
            if !content.is_empty() {
                content.parse::<Token![,]>()?;
            }
        }
        for (part, missing) in [
            ("after", "the number of refusals is missing: write `after = 5`"),
            ("for", "the length of the ban is missing: write `for = \"15m\"`"),
        ] {
            if !parts.present.iter().chain(&parts.meant).any(|present| present == part) {
                errors.push(syn::Error::new(name.span(), missing));
            }
        }
        parts.check_most(&mut errors);
        let Parts { after, first, grow, most, .. } = parts;
        match (errors.into_error(), after, first) {
            (None, Some(after), Some(first)) => Ok(Self { after, first, grow, most }),
            (Some(error), ..) => Err(error),
            // A part that is present and has no value is an error.
            (None, ..) => Err(syn::Error::new(name.span(), format!("write `{GRAMMAR}`"))),
        }
    }

    /// Returns the expressions that the compiler evaluates.
    pub(crate) fn expressions(&self) -> impl Iterator<Item = &Expr> {
        let lengths = [self.first.expression(), self.most.as_ref().and_then(Period::expression)];
        [Some(&self.after), self.grow.as_ref()].into_iter().chain(lengths).flatten()
    }

    /// Returns declarations, and the numbers as the arguments of the library's `Limit::ban`. If a
    /// number is no literal, the numbers become constants, which assertions check: `assert` returns
    /// one that calls the library's function of that name.
    pub(crate) fn tokens(
        &self,
        tollgate: &CratePath,
        assert: impl Fn(&str, &TokenStream, Span) -> TokenStream,
    ) -> (TokenStream, TokenStream) {
        let Self { after, first, grow, most } = self;
        let grow = grow.as_ref().map_or_else(|| quote!(1), ToTokens::to_token_stream);
        let (first_tokens, first_span) = (first.tokens(tollgate), first.span());
        let most_tokens = most.as_ref().map(|most| most.tokens(tollgate));
        let some = |most: &TokenStream| quote!(::core::option::Option::Some(#most));
        let none = || quote!(::core::option::Option::None);
        if self.is_literal() {
            let most = most_tokens.as_ref().map_or_else(none, some);
            return (TokenStream::new(), quote!(#after, #first_tokens, #grow, #most));
        }
        let assert_after = assert("ban_after_error", &quote!(__TOLLGATE_BAN_AFTER), after.span());
        let assert_first = assert("ban_for_error", &quote!(__TOLLGATE_BAN_FOR), first_span);
        let assert_grow = assert("ban_grow_error", &quote!(__TOLLGATE_BAN_GROW), grow.span());
        let assert_most = most.as_ref().map(|most| {
            let arguments = quote!(__TOLLGATE_BAN_FOR, __TOLLGATE_BAN_MOST);
            let assert_most = assert("ban_most_error", &arguments, most.span());
            quote! {
                const __TOLLGATE_BAN_MOST: ::core::time::Duration = #most_tokens;
                #assert_most
            }
        });
        let declarations = quote! {
            const __TOLLGATE_BAN_AFTER: ::core::primitive::u32 = #after;
            const __TOLLGATE_BAN_FOR: ::core::time::Duration = #first_tokens;
            const __TOLLGATE_BAN_GROW: ::core::primitive::u32 = #grow;
            #assert_after
            #assert_first
            #assert_grow
            #assert_most
        };
        let most = most.as_ref().map_or_else(none, |_| some(&quote!(__TOLLGATE_BAN_MOST)));
        let numbers = quote! {
            __TOLLGATE_BAN_AFTER, __TOLLGATE_BAN_FOR, __TOLLGATE_BAN_GROW, #most
        };
        (declarations, numbers)
    }

    fn is_literal(&self) -> bool {
        self.expressions()
            .all(|expression| matches!(expression, Expr::Lit(ExprLit { lit: Lit::Int(_), .. })))
    }
}

impl Parts {
    fn parse_one(&mut self, input: ParseStream<'_>) -> syn::Result<()> {
        let Ok(name) = input.call(Ident::parse_any) else {
            self.meant.extend(["after", "for"].map(str::to_owned));
            let message = format!("the parts of a ban have names: write `{GRAMMAR}`");
            return Err(input.error(message));
        };
        let text = name.to_string();
        let Some((part, grammar)) = PARTS.into_iter().find(|(part, _)| *part == text) else {
            return Err(self.unknown(&name));
        };
        if self.present.contains(&text) {
            let message = format!("`{name}` is given twice: remove one");
            return Err(syn::Error::new(name.span(), message));
        }
        self.present.push(text);
        if !input.peek(Token![=]) {
            let message = format!("`{name}` takes a value: write `{grammar}`");
            return Err(syn::Error::new(name.span(), message));
        }
        let equals: Token![=] = input.parse()?;
        if input.is_empty() || input.peek(Token![,]) {
            let message = format!("a value is missing: write `{grammar}`");
            return Err(syn::Error::new(equals.span, message));
        }
        match part {
            "after" => {
                let zero = "a ban must come after at least 1 refusal";
                self.after = Some(parse_count(input, (part, grammar), zero)?);
            }
            "for" => self.first = Some(Period::parse(input, &Length::BAN)?),
            "grow" => {
                let zero = "the factor by which bans grow must be at least 1";
                self.grow = Some(parse_count(input, (part, grammar), zero)?);
            }
            _ => self.most = Some(Period::parse(input, &Length::LONGEST_BAN)?),
        }
        if input.is_empty() || input.peek(Token![,]) {
            return Ok(());
        }
        Err(input.error("expected a comma between the parts of the ban"))
    }

    /// Skips the rest of a part with a mistake. It may contain other parts, if a comma is missing.
    fn skip_to_comma(&mut self, input: ParseStream<'_>) -> syn::Result<()> {
        while !input.is_empty() && !input.peek(Token![,]) {
            if let TokenTree::Ident(word) = input.parse()? {
                self.meant.push(word.to_string());
            }
        }
        Ok(())
    }

    fn unknown(&mut self, name: &Ident) -> syn::Error {
        let known = PARTS.map(|(part, _)| part);
        let grammar = PARTS.map(|(_, grammar)| format!("`{grammar}`")).join(", ");
        let text = name.to_string();
        self.meant.extend(suggest::nearest(&text, &known).map(str::to_owned));
        let hint = suggest::hint(&text, &known, &format!("there are {grammar}"));
        syn::Error::new(name.span(), format!("a ban has no `{name}`: {hint}"))
    }

    /// Reports a longest ban that is shorter than the first, if both are literals.
    fn check_most(&self, errors: &mut Errors) {
        if let (Some(Period::Micros(first, _)), Some(Period::Micros(most, span))) =
            (&self.first, &self.most)
            && most < first
        {
            let message = "the longest ban must be at least as long as the first";
            errors.push(syn::Error::new(*span, message));
        }
    }
}

/// Parses a whole number. A literal is checked here, any other expression when the compiler
/// evaluates it. `zero` is the message about the number 0.
fn parse_count(
    input: ParseStream<'_>,
    (part, grammar): (&str, &str),
    zero: &str,
) -> syn::Result<Expr> {
    let count = parse_expression(input)?;
    let mistake = match &count {
        Expr::Lit(ExprLit { lit: Lit::Int(literal), .. }) => match literal.base10_parse::<u64>() {
            Ok(0) => zero.to_owned(),
            Ok(number) if number <= u64::from(u32::MAX) => return Ok(count),
            Ok(_) | Err(_) => format!("`{part}` must be at most 4294967295"),
        },
        Expr::Lit(_) | Expr::Unary(_) => {
            format!("`{part}` is a whole number: write `{grammar}`")
        }
        _ => return Ok(count),
    };
    Err(syn::Error::new_spanned(count, mistake))
}
