//! Parses the argument `exempt`.

use proc_macro2::TokenStream;
use syn::parse::ParseStream;
use syn::{Path, parenthesized};

use crate::keywords::parse_path;
use crate::network::Network;

/// The value of the argument `exempt`, the requests that are not counted.
#[derive(Clone)]
pub(crate) enum Exempt {
    /// The path of a function of the request.
    Function(Path),
    /// `net("10.0.0.0/8", …)`: the clients in these networks.
    Networks(Vec<Network>),
}

impl Exempt {
    pub(crate) fn parse(input: ParseStream<'_>, grammar: &str) -> syn::Result<Self> {
        let path = parse_path(input, grammar)?;
        let is_net = path.is_ident("net");
        if !input.peek(syn::token::Paren) {
            if is_net {
                let message = "`net` takes networks: write `exempt = net(\"10.0.0.0/8\")`, or a \
                               function of your own as `self::net`";
                return Err(syn::Error::new_spanned(path, message));
            }
            return Ok(Self::Function(path));
        }
        let content;
        parenthesized!(content in input);
        let error = |message| {
            // The rest of the argument is skipped, so that it is not reported as well.
            drop(content.parse::<TokenStream>());
            Err(syn::Error::new_spanned(&path, message))
        };
        if !is_net {
            return error(
                "write the path of a function without arguments, such as `exempt = \
                 self::is_internal`, or networks, such as `exempt = net(\"10.0.0.0/8\")`",
            );
        }
        if content.is_empty() {
            return error("`net()` exempts nobody: write `exempt = net(\"10.0.0.0/8\")`");
        }
        Network::parse_all(&content).map(Self::Networks)
    }
}
