//! Names of places in files: the text that a person would type.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{RelayUrl, ServiceName};

macro_rules! as_text {
    ($name:ty) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    };
}

as_text!(RelayUrl);
as_text!(ServiceName);

#[cfg(test)]
mod tests {
    use serde::de::IntoDeserializer;
    use serde::de::value::Error;

    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_typed() {
        let relay = |text: &str| RelayUrl::deserialize(IntoDeserializer::<Error>::into_deserializer(text));
        assert_eq!(relay("tunnel.example").ok(), "wss://tunnel.example".parse().ok());
        assert!(relay("ftp://tunnel.example").is_err());
        let name = |text: &str| ServiceName::deserialize(IntoDeserializer::<Error>::into_deserializer(text));
        assert_eq!(name("web").ok(), "web".parse().ok());
        assert!(name("").is_err());
    }
}
