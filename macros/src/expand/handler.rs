//! Handler mode: a guard in front of the handler's own extractors.
//!
//! The guard joins an existing argument, so that the number of arguments stays: 16 extractors
//! still work, and so does `#[debug_handler]` above. It asks before they run, because axum
//! extracts a tuple from left to right and the arguments in order.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::visit_mut::{self, VisitMut};
use syn::{
    Attribute, FnArg, Ident, PatType, ReturnType, Type, TypeReference, parse_quote,
    parse_quote_spanned,
};

use crate::errors::Errors;
use crate::item::{Function, is_named};
use crate::policy::{Policy, Private};

/// axum implements `Handler` for functions of up to this many arguments.
const MAX_ARGUMENTS: usize = 16;

/// Reports what cannot be an axum handler.
pub(crate) fn check(function: &Function, errors: &mut Errors) {
    if function.sig.asyncness.is_none() {
        errors.at(
            function.sig.fn_token,
            "an axum handler is an `async fn`: `#[rate_limit]` goes on one",
        );
    }
    for argument in &function.sig.inputs {
        match argument {
            FnArg::Receiver(receiver) => errors.at(
                receiver,
                "an axum handler has no `self`: make it a function, and take what it needs from \
                 `State`",
            ),
            FnArg::Typed(PatType { ty, .. }) => {
                if let Type::Reference(reference) = &**ty {
                    not_an_extractor(reference, errors);
                }
            }
        }
    }
}

fn not_an_extractor(reference: &TypeReference, errors: &mut Errors) {
    let message = "a reference is no extractor, so this is no axum handler: take the value, for \
                   instance from `State`";
    errors.at(reference, message);
}

/// The function with its guard, and beside it the type that names its policy.
pub(crate) fn expand(
    policy: &Policy,
    mut function: Function,
    private: &Private,
    errors: &mut Errors,
) -> TokenStream {
    let annotated = format_ident!("__rate_limit_{}", function.name(), span = Span::mixed_site());
    let annotation = annotation(policy, &function, &annotated, private);

    let guard = Ident::new("guard", Span::mixed_site());
    insert_guard(&mut function, &guard, &quote!(#private::Guard<#annotated>), errors);

    // The conversion below fails on a value that is no response. The error goes where this
    // identifier is: at the return type, and to the user's code.
    let output_span = match &function.sig.output {
        ReturnType::Type(_, ty) => ty.span(),
        ReturnType::Default => function.sig.ident.span(),
    };
    let output = Ident::new("output", output_span);
    let edge = return_edge(&function.sig.output, private);
    function.sig.output = parse_quote!(-> #private::Response);

    // Braces of our own: the user's would be reported as unused, and without any the body's
    // `use` declarations would shadow the names in the return edge.
    let body = function.body.stream();
    let body_span = function.body.span();
    let private_at_body = private.at(body_span);
    let future = quote_spanned! {body_span=>
        #private_at_body::require_send(async move { #edge { #body } })
    };
    let Function { attrs, vis, sig, .. } = function;
    quote! {
        #annotation
        #(#attrs)* #vis #sig {
            let #output = #future.await;
            #guard.finish(#private::IntoLimitedResponse::into_limited(#output)).await
        }
    }
}

/// The type that names the policy, and what it says, checked.
fn annotation(
    policy: &Policy,
    function: &Function,
    annotated: &Ident,
    private: &Private,
) -> TokenStream {
    let vis = &function.vis;
    // What the handler is compiled under, so is this.
    let cfgs: Vec<&Attribute> =
        function.attrs.iter().filter(|attr| is_named(attr, "cfg")).collect();

    let limit = &policy.quota.limit;
    let period = policy.quota.period.tokens(private);
    let assert_limit = assert_quota("limit_error", limit.span(), private);
    let assert_period = assert_quota("period_error", policy.quota.period.span(), private);
    let label = function.name();
    let policy_value = match &policy.name {
        Some(name) => quote!(#private::Policy::new(#name, QUOTA)),
        None => quote! {
            #private::policy(
                ::core::concat!(::core::module_path!(), "::", #label), #label, QUOTA,
            )
        },
    };
    let algorithm = policy.algorithm.tokens(private);
    let on_error = if policy.skip_on_error { quote!(Open) } else { quote!(Closed) };
    let key = policy.key.tokens(private);
    quote! {
        #(#cfgs)*
        #[doc(hidden)]
        #vis struct #annotated;

        #(#cfgs)*
        const _: () = {
            const __TOLLGATE_LIMIT: ::core::primitive::u32 = #limit;
            const __TOLLGATE_PERIOD: ::core::time::Duration = #period;
            #assert_limit
            #assert_period

            impl #private::Annotated for #annotated {
                fn annotation() -> &'static #private::Annotation {
                    const QUOTA: #private::Quota =
                        #private::quota(__TOLLGATE_LIMIT, __TOLLGATE_PERIOD);
                    static ANNOTATION: #private::Annotation = #private::Annotation::new(
                        #policy_value
                            .algorithm(#algorithm)
                            .on_error(#private::OnError::#on_error),
                        #key,
                    );
                    &ANNOTATION
                }
            }
        };
    }
}

/// A constant that does not compile, and is reported at `span`, if `check` finds a mistake.
fn assert_quota(check: &str, span: Span, private: &Private) -> TokenStream {
    let check = Ident::new(check, span);
    let private = private.at(span);
    quote_spanned! {span=>
        const _: () = if let ::core::option::Option::Some(mistake) =
            #private::#check(__TOLLGATE_LIMIT, __TOLLGATE_PERIOD)
        {
            ::core::panic!("{}", mistake)
        };
    }
}

/// Puts the guard before everything that is extracted.
fn insert_guard(function: &mut Function, guard: &Ident, ty: &TokenStream, errors: &mut Errors) {
    // `#[debug_handler]` below ours infers the state's type from a bare `State<_>`, which
    // merging would hide.
    let keeps_state_bare = function.has_attr("debug_handler");
    let inputs = &mut function.sig.inputs;
    let has_room = inputs.len() < MAX_ARGUMENTS;
    let first_is_plain =
        matches!(inputs.first(), Some(FnArg::Typed(argument)) if argument.attrs.is_empty());
    if has_room && (keeps_state_bare || !first_is_plain) {
        inputs.insert(0, parse_quote!(#guard: #ty));
        return;
    }
    let host = inputs.iter_mut().find_map(|argument| match argument {
        FnArg::Typed(argument)
            if argument.attrs.is_empty() && !(keeps_state_bare && is_state(&argument.ty)) =>
        {
            Some(argument)
        }
        _ => None,
    });
    match host {
        Some(PatType { pat, ty: host_ty, .. }) => {
            **pat = parse_quote!((#guard, #pat));
            **host_ty = parse_quote!((#ty, #host_ty));
        }
        None => errors.at(
            inputs,
            "there is no room for the limit's guard: take out an argument, or leave one without \
             attributes",
        ),
    }
}

fn is_state(ty: &Type) -> bool {
    matches!(ty, Type::Path(path)
        if path.path.segments.last().is_some_and(|segment| segment.ident == "State"))
}

/// Tells the compiler the body's type before the body, so that a value of another type is
/// reported where it stands.
fn return_edge(output: &ReturnType, private: &Private) -> TokenStream {
    let ty = match output {
        ReturnType::Type(_, ty) => {
            let mut ty = ty.clone();
            EraseImplTrait.visit_type_mut(&mut ty);
            ty.into_token_stream()
        }
        ReturnType::Default => quote!(()),
    };
    quote!(if false { return #private::any::<#ty>(); })
}

/// `impl Trait` cannot be the type of a variable; `_` stands for whatever the body gives.
struct EraseImplTrait;

impl VisitMut for EraseImplTrait {
    fn visit_type_mut(&mut self, ty: &mut Type) {
        if let Type::ImplTrait(impl_trait) = ty {
            *ty = parse_quote_spanned!(impl_trait.span()=> _);
        } else {
            visit_mut::visit_type_mut(self, ty);
        }
    }
}
