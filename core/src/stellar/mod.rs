//! Identity: Stellar addresses (SEP-23), the JWTs that their keys sign (RFC 7519), and delegations to other keys.
//!
//! No secret key is held here. A state machine creates a [`SigningInput`], its owner signs that, and only
//! [`Token::verify`] creates a [`Verified`].

pub mod address;
pub mod delegation;
pub mod jwt;
pub mod scope;
pub mod signature;
pub mod strkey;

pub use address::{Address, AddressError};
pub use jwt::{Claims, Expected, JwtError, MAX_LIFETIME, Scope, Signature, SigningInput, Token, Verified};
