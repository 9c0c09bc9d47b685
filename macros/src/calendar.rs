//! Parses the period of a quota: a length of time, or a unit of the calendar, such as
//! `calendar(month)` or `calendar(day, "Europe/Berlin")`.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote};
use syn::ext::IdentExt as _;
use syn::parse::ParseStream;
use syn::{Expr, ExprLit, Lit, Token, parenthesized};

use crate::crate_path::CratePath;
use crate::period::{Length, Period, parse_expression};
use crate::suggest;

/// How a calendar is written, for error messages.
const GRAMMAR: &str = "`calendar(month)` or `calendar(day, \"Europe/Berlin\")`";

/// The words for the units, and the names of their variants.
const UNITS: [(&str, &str); 4] =
    [("day", "Day"), ("week", "Week"), ("month", "Month"), ("year", "Year")];

/// The value of the argument `per`.
#[derive(Clone)]
pub(crate) enum Per {
    Length(Period),
    Calendar(Calendar),
}

/// A unit of the calendar in a time zone.
#[derive(Clone)]
pub(crate) struct Calendar {
    pub(crate) word: Ident,
    /// The name of the unit's variant.
    variant: &'static str,
    /// The expression of the zone; `None` for UTC.
    zone: Option<Expr>,
}

impl Per {
    pub(crate) fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        if input.peek(kw::calendar) && input.peek2(syn::token::Paren) {
            return Calendar::parse(input).map(Self::Calendar);
        }
        Period::parse(input, &Length::PERIOD).map(Self::Length)
    }

    /// Returns the expression that the compiler evaluates; `None` if the value is a literal or a
    /// word.
    pub(crate) fn expression(&self) -> Option<&Expr> {
        match self {
            Self::Length(period) => period.expression(),
            Self::Calendar(calendar) => calendar.zone.as_ref(),
        }
    }

    pub(crate) fn calendar(&self) -> Option<&Calendar> {
        match self {
            Self::Length(_) => None,
            Self::Calendar(calendar) => Some(calendar),
        }
    }

    /// Returns a text by which equal periods are recognised.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Length(Period::Micros(micros, _)) => micros.to_string(),
            Self::Length(Period::Const(expression)) => expression.to_token_stream().to_string(),
            Self::Calendar(Calendar { variant, zone, .. }) => {
                let zone = zone.as_ref().map_or(quote!("UTC"), ToTokens::to_token_stream);
                format!("{variant} {zone}")
            }
        }
    }
}

impl Calendar {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let name = input.parse::<kw::calendar>()?;
        let content;
        parenthesized!(content in input);
        let calendar = Self::parse_content(&content, name.span);
        if calendar.is_err() {
            // The rest is skipped, so that it is not reported as well.
            drop(content.parse::<TokenStream>());
        }
        calendar
    }

    fn parse_content(input: ParseStream<'_>, span: Span) -> syn::Result<Self> {
        let grammar = || format!("a calendar has a unit, and perhaps a time zone: write {GRAMMAR}");
        if input.is_empty() {
            return Err(syn::Error::new(span, grammar()));
        }
        let Ok(word) = input.call(Ident::parse_any) else { return Err(input.error(grammar())) };
        let text = word.to_string();
        let Some((_, variant)) = UNITS.into_iter().find(|(unit, _)| *unit == text) else {
            let hint =
                suggest::hint(&text, &UNITS.map(|(unit, _)| unit), &format!("write {GRAMMAR}"));
            let message = format!("unknown unit of the calendar `{text}`: {hint}");
            return Err(syn::Error::new(word.span(), message));
        };
        if !input.is_empty() && !input.peek(Token![,]) {
            return Err(input.error(grammar()));
        }
        input.parse::<Option<Token![,]>>()?;
        let zone = if input.is_empty() { None } else { Some(parse_expression(input)?) };
        input.parse::<Option<Token![,]>>()?;
        if !input.is_empty() {
            return Err(input.error(grammar()));
        }
        match &zone {
            Some(Expr::Lit(ExprLit { lit: Lit::Str(_), .. })) | None => {}
            Some(Expr::Path(path)) if path.path.get_ident().is_none_or(suggest::is_constant) => {}
            Some(zone) => {
                let message = "a time zone is text, or a constant: write `\"Europe/Berlin\"`";
                return Err(syn::Error::new_spanned(zone, message));
            }
        }
        Ok(Self { word, variant, zone })
    }

    /// Returns the unit and the zone as the arguments of the library's functions, separated by a
    /// comma, and the span of the zone.
    pub(crate) fn tokens(&self, tollgate: &CratePath) -> (TokenStream, TokenStream, Span) {
        let variant = Ident::new(self.variant, self.word.span());
        let unit = quote!(#tollgate::Calendar::#variant);
        match &self.zone {
            Some(zone) => (unit, zone.to_token_stream(), syn::spanned::Spanned::span(zone)),
            None => (unit, quote!("UTC"), self.word.span()),
        }
    }
}

mod kw {
    syn::custom_keyword!(calendar);
}
