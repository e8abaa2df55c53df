//! Identity: Stellar addresses, and the tokens that their keys sign.
//!
//! No secret key is ever kept here. A machine makes a [`SigningInput`], somebody else signs it, and only
//! [`Token::verify`] makes a [`Verified`].

pub mod address;
pub mod jwt;
pub mod strkey;

pub use address::{Address, AddressError};
pub use jwt::{Claims, Expected, JwtError, Signature, SigningInput, Token, Verified};
