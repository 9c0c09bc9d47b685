//! Parses the arguments in the attribute's parentheses. Each argument is parsed on its own, so that
//! a mistake in one does not hide the mistakes in others.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use syn::ext::IdentExt as _;
use syn::parse::{ParseStream, Parser as _};
use syn::{Expr, ExprLit, Lit, LitStr, Path, Token, parenthesized};

use crate::ban::{self, Ban};
use crate::calendar::Per;
use crate::errors::Errors;
use crate::exempt::Exempt;
use crate::key::Key;
use crate::keywords::{Algorithm, Headers, OnError, OnMissingKey, RefundIf, Settle, parse_path};
use crate::period::{Length, Period, parse_expression};
use crate::suggest;

/// The name of every named argument, with an example of its use for error messages.
const GRAMMAR: [(&str, &str); 23] = [
    ("per", "per = 60"),
    ("algorithm", "algorithm = sliding_window"),
    ("burst", "burst = 20"),
    ("key", "key = ip"),
    ("cost", "cost = 1"),
    ("quota", "quota = self::plan"),
    ("name", "name = \"…\""),
    ("group", "group = \"…\""),
    ("skip_on_error", "skip_on_error"),
    ("on_error", "on_error = closed"),
    ("exempt", "exempt = self::is_internal"),
    ("on_blocked", "on_blocked = self::log_refusal"),
    ("refund_if", "refund_if = failure"),
    ("settle", "settle = self::tokens"),
    ("ban", ban::GRAMMAR),
    ("in_flight", "in_flight = 20"),
    ("hold", "hold = \"60s\""),
    ("shadow", "shadow"),
    ("wait", "wait = \"2s\""),
    ("headers", "headers = ietf"),
    ("refusal", "refusal = self::slow_down"),
    ("on_missing_key", "on_missing_key = reject"),
    ("crate", "crate = ::path"),
];

/// The parsed arguments of one attribute. Missing and contradictory arguments are not reported
/// here, but in `policy.rs`.
#[derive(Default)]
pub(crate) struct Arguments {
    pub(crate) limit: Option<Expr>,
    pub(crate) per: Option<Per>,
    pub(crate) algorithm: Option<Named<Algorithm>>,
    pub(crate) burst: Option<Named<Expr>>,
    pub(crate) key: Option<Named<Key>>,
    pub(crate) cost: Option<Named<Cost>>,
    pub(crate) quota: Option<Named<Path>>,
    pub(crate) name: Option<Named<LitStr>>,
    pub(crate) group: Option<Named<LitStr>>,
    pub(crate) on_error: Option<Named<OnError>>,
    pub(crate) exempt: Option<Named<Exempt>>,
    pub(crate) on_blocked: Option<Named<Path>>,
    pub(crate) refund_if: Option<Named<RefundIf>>,
    pub(crate) settle: Option<Named<Settle>>,
    pub(crate) ban: Option<Named<Ban>>,
    pub(crate) in_flight: Option<Named<Expr>>,
    pub(crate) hold: Option<Named<Period>>,
    pub(crate) shadow: Option<Named<()>>,
    pub(crate) wait: Option<Named<Period>>,
    pub(crate) headers: Option<Named<Headers>>,
    pub(crate) refusal: Option<Named<Path>>,
    pub(crate) on_missing_key: Option<Named<OnMissingKey>>,
    pub(crate) krate: Option<Named<Path>>,
    /// `true` if there is a path of several segments.
    pub(crate) has_paths: bool,
    /// The location of the first argument, at which missing arguments are reported; `None` if there
    /// are no arguments.
    span: Option<Span>,
    /// The names of the arguments in the attribute, valid or not. A misspelt name is recorded as
    /// the argument that was probably meant.
    present: Vec<String>,
}

/// An argument's value, and its name, at which mistakes are reported.
#[derive(Clone)]
pub(crate) struct Named<T> {
    pub(crate) name: Ident,
    pub(crate) value: T,
}

/// The value of the argument `cost`, the cost of a request.
#[derive(Clone)]
pub(crate) enum Cost {
    Const(Expr),
    /// The path of a function that computes the cost from the request.
    Function(Path),
    /// `args(…)`: an expression with the arguments of the function.
    Args(Expr),
}

impl Arguments {
    pub(crate) fn parse(tokens: TokenStream, errors: &mut Errors) -> Self {
        let mut arguments = Self { has_paths: has_paths(tokens.clone()), ..Self::default() };
        let parsed = (|input: ParseStream<'_>| {
            arguments.span = (!input.is_empty()).then(|| input.span());
            while !input.is_empty() {
                if let Err(error) = arguments.parse_one(input) {
                    errors.push(error);
                    skip_to_comma(input)?;
                }
                if !input.is_empty() {
                    input.parse::<Token![,]>()?;
                }
            }
            Ok(())
        })
        .parse2(tokens);
        errors.keep(parsed);
        arguments
    }

    /// Returns `true` if the attribute contains an argument of this name, valid or not.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.present.iter().any(|present| present == name)
    }

    /// Returns the location at which missing arguments are reported.
    pub(crate) fn span(&self) -> Span {
        self.span.unwrap_or_else(Span::call_site)
    }

    fn parse_one(&mut self, input: ParseStream<'_>) -> syn::Result<()> {
        let word = input.peek(Ident::peek_any);
        if word && input.peek2(Token![=]) && !input.peek2(Token![==]) {
            let name = input.call(Ident::parse_any)?;
            self.parse_named(name, input)
        } else if word && (input.peek2(Token![,]) || is_last(input)) {
            self.parse_word(input.call(Ident::parse_any)?)
        } else if word && has_parts(input) {
            self.parse_ban(input.call(Ident::parse_any)?, input)
        } else {
            self.parse_limit(input)
        }
    }

    fn parse_named(&mut self, name: Ident, input: ParseStream<'_>) -> syn::Result<()> {
        let text = self.mark_present(&name)?;
        let equals = input.parse::<Token![=]>()?;
        if matches!(text, "skip_on_error" | "shadow") {
            let message = format!("`{name}` takes no value: write it alone");
            return Err(syn::Error::new(name.span(), message));
        }
        if text == "ban" {
            return Err(without_parts(&name));
        }
        if input.is_empty() || input.peek(Token![,]) {
            let message = format!("a value is missing: write `{}`", grammar_of(text));
            return Err(syn::Error::new(equals.span, message));
        }
        let grammar = grammar_of(text);
        match text {
            "per" => self.per = Some(Per::parse(input)?),
            "algorithm" => self.algorithm = Some(named(name, Algorithm::parse(input)?)),
            "burst" => self.burst = Some(named(name, parse_count(input, "burst")?)),
            "key" => self.key = Some(named(name, Key::parse(input)?)),
            "cost" => self.cost = Some(named(name, Cost::parse(input)?)),
            "quota" => self.quota = Some(named(name, parse_path(input, grammar)?)),
            "name" => self.name = Some(named(name, parse_text(input, grammar)?)),
            "group" => self.group = Some(named(name, parse_text(input, grammar)?)),
            "on_error" => {
                let mode = OnError::parse(input)?;
                self.set_on_error(named(name, mode))?;
            }
            "exempt" => self.exempt = Some(named(name, Exempt::parse(input, grammar)?)),
            "on_blocked" => self.on_blocked = Some(named(name, parse_path(input, grammar)?)),
            "refund_if" => self.refund_if = Some(named(name, RefundIf::parse(input)?)),
            "settle" => self.settle = Some(named(name, Settle::parse(input)?)),
            "in_flight" => {
                self.in_flight = Some(named(name, parse_count(input, "number in flight")?));
            }
            "hold" => self.hold = Some(named(name, Period::parse(input, &Length::HOLD)?)),
            "wait" => self.wait = Some(named(name, Period::parse(input, &Length::WAIT)?)),
            "headers" => self.headers = Some(named(name, Headers::parse(input)?)),
            "refusal" => self.refusal = Some(named(name, parse_path(input, grammar)?)),
            "on_missing_key" => {
                self.on_missing_key = Some(named(name, OnMissingKey::parse(input)?));
            }
            _ => self.krate = Some(named(name, parse_crate(input)?)),
        }
        if input.is_empty() || input.peek(Token![,]) {
            return Ok(());
        }
        Err(input.error("expected a comma between arguments"))
    }

    fn parse_word(&mut self, word: Ident) -> syn::Result<()> {
        // A word that begins with a capital is a constant, which gives the limit. Other words are
        // the names of arguments.
        if suggest::is_constant(&word) {
            return self.set_limit(syn::parse_quote!(#word));
        }
        match self.mark_present(&word)? {
            "skip_on_error" => self.set_on_error(named(word, OnError::Open)),
            "shadow" => {
                self.shadow = Some(named(word, ()));
                Ok(())
            }
            "ban" => Err(without_parts(&word)),
            name => {
                let message = format!("`{name}` takes a value: write `{}`", grammar_of(name));
                Err(syn::Error::new(word.span(), message))
            }
        }
    }

    /// Parses `ban(…)`, of which `name` is the word.
    fn parse_ban(&mut self, name: Ident, input: ParseStream<'_>) -> syn::Result<()> {
        let text = self.mark_present(&name)?;
        if text != "ban" {
            let grammar = grammar_of(text);
            let kind = if grammar == text { "no value" } else { "a value" };
            let message = format!("`{name}` takes {kind}: write `{grammar}`");
            return Err(syn::Error::new(name.span(), message));
        }
        let ban = Ban::parse(&name, input)?;
        self.ban = Some(named(name, ban));
        if input.is_empty() || input.peek(Token![,]) {
            return Ok(());
        }
        Err(input.error("expected a comma between arguments"))
    }

    fn parse_limit(&mut self, input: ParseStream<'_>) -> syn::Result<()> {
        self.present.push("limit".to_owned());
        let limit = parse_count(input, "limit")?;
        if input.is_empty() || input.peek(Token![,]) {
            return self.set_limit(limit);
        }
        Err(input.error("expected a comma between arguments"))
    }

    fn set_limit(&mut self, limit: Expr) -> syn::Result<()> {
        if self.limit.is_some() {
            let message = "the limit is already given; every other argument has a name, such as \
                           `per = 60`";
            return Err(syn::Error::new_spanned(limit, message));
        }
        self.present.push("limit".to_owned());
        self.limit = Some(limit);
        Ok(())
    }

    fn set_on_error(&mut self, mode: Named<OnError>) -> syn::Result<()> {
        if let Some(other) = &self.on_error {
            let message =
                format!("`{}` and `{}` say the same thing: keep one", other.name, mode.name);
            return Err(syn::Error::new(mode.name.span(), message));
        }
        self.on_error = Some(mode);
        Ok(())
    }

    /// Records the name of an argument, and returns it. An unknown or a repeated name is an error.
    fn mark_present(&mut self, name: &Ident) -> syn::Result<&'static str> {
        let text = name.to_string();
        let Some((known, _)) = GRAMMAR.iter().find(|(known, _)| *known == text) else {
            return Err(self.unknown(name));
        };
        if self.has(known) {
            let message = format!("`{name}` is given twice: remove one");
            return Err(syn::Error::new(name.span(), message));
        }
        self.present.push(text);
        Ok(known)
    }

    fn unknown(&mut self, word: &Ident) -> syn::Error {
        let known = GRAMMAR.map(|(name, _)| name);
        let grammar = GRAMMAR.map(|(_, grammar)| format!("`{grammar}`")).join(", ");
        let text = word.to_string();
        // Records the argument that was probably meant, so that it is not reported as missing, too.
        self.present.extend(suggest::nearest(&text, &known).map(str::to_owned));
        let hint = suggest::hint(&text, &known, &format!("there are the limit, {grammar}"));
        syn::Error::new(word.span(), format!("unknown argument `{word}`: {hint}"))
    }
}

impl Cost {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        if input.peek(kw::args) {
            return Self::parse_args(input);
        }
        match parse_count(input, "cost")? {
            Expr::Path(path) if !is_constant(&path.path) => Ok(Self::Function(path.path)),
            Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) if number.base10_digits() == "0" => {
                let message = "a cost of 0 counts nothing: it must be at least 1";
                Err(syn::Error::new(number.span(), message))
            }
            cost => Ok(Self::Const(cost)),
        }
    }

    /// Parses `args(…)` with one expression.
    fn parse_args(input: ParseStream<'_>) -> syn::Result<Self> {
        let word: kw::args = input.parse()?;
        let error = || {
            let message = "`cost = args(…)` takes one expression of the function's arguments: \
                           write `cost = args(items.len())`";
            syn::Error::new(word.span, message)
        };
        if !input.peek(syn::token::Paren) {
            return Err(error());
        }
        let content;
        parenthesized!(content in input);
        if content.is_empty() {
            return Err(error());
        }
        let cost = content.parse()?;
        content.parse::<Option<Token![,]>>()?;
        if content.is_empty() {
            return Ok(Self::Args(cost));
        }
        // The rest of the argument is skipped, so that it is not reported as well.
        drop(content.parse::<TokenStream>());
        Err(error())
    }

    /// Returns `true` if the cost is known only with the function's arguments.
    pub(crate) fn is_args(&self) -> bool {
        matches!(self, Self::Args(_))
    }
}

mod kw {
    syn::custom_keyword!(args);
}

fn is_constant(path: &Path) -> bool {
    path.segments.last().is_some_and(|segment| suggest::is_constant(&segment.ident))
}

fn named<T>(name: Ident, value: T) -> Named<T> {
    Named { name, value }
}

/// Parses a number of requests, such as a limit. A literal is checked here, because the messages
/// are better than the compiler's. Any other expression is checked when the compiler evaluates it.
fn parse_count(input: ParseStream<'_>, what: &str) -> syn::Result<Expr> {
    let count = parse_expression(input)?;
    let mistake = match &count {
        Expr::Lit(ExprLit { lit: Lit::Int(literal), .. }) => match literal.base10_parse::<u64>() {
            Ok(0) if what != "cost" => format!("the {what} must be at least 1"),
            Ok(number) if number <= u64::from(u32::MAX) => return Ok(count),
            Ok(_) | Err(_) => format!("the {what} must be at most 4294967295"),
        },
        Expr::Lit(_) => format!("the {what} is a whole number of requests, such as `100`"),
        Expr::Unary(_) => {
            format!("the {what} is not negative: it is a whole number, such as `100`")
        }
        _ => return Ok(count),
    };
    Err(syn::Error::new_spanned(count, mistake))
}

fn parse_text(input: ParseStream<'_>, grammar: &str) -> syn::Result<LitStr> {
    let text: LitStr = input.parse().map_err(|error| {
        syn::Error::new(error.span(), format!("a name is a string: write `{grammar}`"))
    })?;
    let value = text.value();
    if value.is_empty() {
        let message = format!("a name cannot be empty: write `{grammar}`, or leave it out");
        return Err(syn::Error::new(text.span(), message));
    }
    if !value.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        let message = "a name is shown in HTTP headers: use printable ASCII only";
        return Err(syn::Error::new(text.span(), message));
    }
    Ok(text)
}

fn parse_crate(input: ParseStream<'_>) -> syn::Result<Path> {
    let message = "the path must be absolute: write `crate = ::name`, `crate = crate::path` or \
                   `crate = $crate::path`";
    let path = input.call(Path::parse_mod_style);
    let path = path.map_err(|error| syn::Error::new(error.span(), message))?;
    let first = path.segments.first().map(|segment| segment.ident.to_string());
    let absolute =
        path.leading_colon.is_some() || matches!(first.as_deref(), Some("crate" | "$crate"));
    if absolute {
        return Ok(path);
    }
    Err(syn::Error::new_spanned(path, message))
}

/// Returns `true` if the rest of the input is a single word.
fn is_last(input: ParseStream<'_>) -> bool {
    let ahead = input.fork();
    ahead.call(Ident::parse_any).is_ok() && ahead.is_empty()
}

/// Returns `true` if the next word has parentheses, as only `ban` has, and is the name of an argument or
/// has named parts in them. Other such words are functions that compute the limit.
fn has_parts(input: ParseStream<'_>) -> bool {
    let ahead = input.fork();
    let is_named = |content: ParseStream<'_>| {
        content.peek(Ident::peek_any) && content.peek2(Token![=]) && !content.peek2(Token![==])
    };
    match ahead.call(Ident::parse_any) {
        Ok(word) if ahead.peek(syn::token::Paren) => {
            let parts = (|| {
                let content;
                parenthesized!(content in ahead);
                Ok::<_, syn::Error>(is_named(&content))
            })();
            GRAMMAR.iter().any(|(known, _)| word == known) || parts.unwrap_or(false)
        }
        _ => false,
    }
}

/// Returns `true` if the tokens contain `::`.
fn has_paths(tokens: TokenStream) -> bool {
    let mut before = ' ';
    tokens.into_iter().any(|token| {
        let after = std::mem::replace(&mut before, ' ');
        match token {
            TokenTree::Punct(punct) => {
                before = punct.as_char();
                after == ':' && before == ':'
            }
            TokenTree::Group(group) => has_paths(group.stream()),
            TokenTree::Ident(_) | TokenTree::Literal(_) => false,
        }
    })
}

fn without_parts(ban: &Ident) -> syn::Error {
    let message = format!("a ban has parts, in parentheses: write `{}`", ban::GRAMMAR);
    syn::Error::new(ban.span(), message)
}

fn skip_to_comma(input: ParseStream<'_>) -> syn::Result<()> {
    while !input.is_empty() && !input.peek(Token![,]) {
        input.parse::<TokenTree>()?;
    }
    Ok(())
}

fn grammar_of(name: &str) -> &'static str {
    GRAMMAR.iter().find(|(known, _)| *known == name).map_or("", |(_, grammar)| grammar)
}
