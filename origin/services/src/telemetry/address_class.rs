//! Classes of client addresses, as labels of metrics.

use std::net::IpAddr;

use crate::public_address::is_public;

/// Class of a client's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressClass {
    /// This machine.
    Loopback,
    /// A private or reserved network.
    Private,
    /// The public Internet.
    Public,
    Unknown,
}

impl AddressClass {
    pub const ALL: [AddressClass; 4] =
        [AddressClass::Loopback, AddressClass::Private, AddressClass::Public, AddressClass::Unknown];

    /// The class of an address.
    #[must_use]
    pub fn of(address: Option<IpAddr>) -> AddressClass {
        match address.map(|address| address.to_canonical()) {
            None => AddressClass::Unknown,
            Some(address) if address.is_loopback() => AddressClass::Loopback,
            Some(address) if is_public(address) => AddressClass::Public,
            Some(_) => AddressClass::Private,
        }
    }

    /// Value of the label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            AddressClass::Loopback => "loopback",
            AddressClass::Private => "private",
            AddressClass::Public => "public",
            AddressClass::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_one_class_each() {
        for (text, class) in [
            ("127.0.0.1", AddressClass::Loopback),
            ("::ffff:127.0.0.1", AddressClass::Loopback),
            ("::1", AddressClass::Loopback),
            ("10.1.2.3", AddressClass::Private),
            ("fd00::1", AddressClass::Private),
            ("1.1.1.1", AddressClass::Public),
            ("2606:4700::1111", AddressClass::Public),
        ] {
            assert_eq!(AddressClass::of(Some(text.parse().expect("an address"))), class, "{text}");
        }
        assert_eq!(AddressClass::of(None), AddressClass::Unknown);
    }
}
