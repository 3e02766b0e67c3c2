//! Where new connections go, and the guard that keeps load on this machine.

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use crate::load::LoadError;

/// The addresses that new connections go to, in turn; a handle to one shared list.
///
/// Replacing the list moves *new* connections only: an established connection
/// stays where it is, as a flow through a Kubernetes Service does.
#[derive(Clone)]
pub struct Endpoints(Arc<Inner>);

struct Inner {
    scope: Scope,
    source: Source,
}

enum Source {
    List { addresses: RwLock<Vec<SocketAddr>>, turn: AtomicUsize },
    Resolver(Box<dyn Fn() -> Option<SocketAddr> + Send + Sync>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Loopback,
    Namespace,
}

impl Endpoints {
    /// Sends load to addresses of the loopback interface.
    ///
    /// # Errors
    /// [`LoadError::NotLoopback`] names the first address outside of it.
    pub fn loopback(addresses: impl IntoIterator<Item = SocketAddr>) -> Result<Self, LoadError> {
        Self::list(Scope::Loopback, addresses)
    }

    /// Sends load to addresses of a network namespace that the caller made.
    ///
    /// This is the one way around the loopback guard. The caller vouches that
    /// every address belongs to a namespace of its own making.
    ///
    /// # Errors
    /// None today; the signature is that of [`Endpoints::loopback`].
    pub fn in_namespace(
        addresses: impl IntoIterator<Item = SocketAddr>,
    ) -> Result<Self, LoadError> {
        Self::list(Scope::Namespace, addresses)
    }

    /// Asks `resolve` for each new connection; for a data plane that picks by its own rules.
    ///
    /// `None` fails the request as [`Cause::NoEndpoint`](crate::Cause::NoEndpoint), an address outside of
    /// loopback as [`Cause::ForbiddenAddress`](crate::Cause::ForbiddenAddress).
    pub fn from_fn(resolve: impl Fn() -> Option<SocketAddr> + Send + Sync + 'static) -> Self {
        let source = Source::Resolver(Box::new(resolve));
        Self(Arc::new(Inner { scope: Scope::Loopback, source }))
    }

    /// Replaces the list; connections opened from now on go to the new addresses.
    ///
    /// # Errors
    /// [`LoadError::NotLoopback`], and the list stays as it was;
    /// [`LoadError::NotAList`] for endpoints made with [`Endpoints::from_fn`].
    pub fn replace(
        &self,
        addresses: impl IntoIterator<Item = SocketAddr>,
    ) -> Result<(), LoadError> {
        let new = self.0.scope.admit(addresses)?;
        let Source::List { addresses, .. } = &self.0.source else {
            return Err(LoadError::NotAList);
        };
        *addresses.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    fn list(
        scope: Scope,
        addresses: impl IntoIterator<Item = SocketAddr>,
    ) -> Result<Self, LoadError> {
        let addresses = RwLock::new(scope.admit(addresses)?);
        let source = Source::List { addresses, turn: AtomicUsize::new(0) };
        Ok(Self(Arc::new(Inner { scope, source })))
    }

    /// Picks the address of the next new connection.
    pub(crate) fn pick(&self) -> Pick {
        let picked = match &self.0.source {
            Source::Resolver(resolve) => resolve(),
            Source::List { addresses, turn } => {
                let addresses = addresses.read().unwrap_or_else(PoisonError::into_inner);
                let turn = turn.fetch_add(1, Relaxed);
                turn.checked_rem(addresses.len()).map(|index| addresses[index])
            }
        };
        match picked {
            None => Pick::Nothing,
            Some(address) if self.0.scope.allows(address) => Pick::Address(address),
            Some(address) => Pick::Forbidden(address),
        }
    }
}

pub(crate) enum Pick {
    Address(SocketAddr),
    Forbidden(SocketAddr),
    Nothing,
}

impl Scope {
    fn allows(self, address: SocketAddr) -> bool {
        // `::ffff:127.0.0.1` is loopback too, and `Ipv6Addr::is_loopback` does not say so.
        self == Self::Namespace || address.ip().to_canonical().is_loopback()
    }

    fn admit(
        self,
        addresses: impl IntoIterator<Item = SocketAddr>,
    ) -> Result<Vec<SocketAddr>, LoadError> {
        let checked = addresses.into_iter().map(|address| {
            if self.allows(address) { Ok(address) } else { Err(LoadError::NotLoopback(address)) }
        });
        checked.collect()
    }
}

impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Endpoints");
        out.field("scope", &self.0.scope);
        match &self.0.source {
            Source::List { addresses, .. } => out.field("addresses", addresses),
            Source::Resolver(_) => out.field("addresses", &"resolver"),
        };
        out.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_outside_loopback_is_refused() {
        for bad in ["192.0.2.1:80", "[2001:db8::1]:80", "0.0.0.0:80", "[::ffff:192.0.2.1]:80"] {
            let refused = Endpoints::loopback([address("127.0.0.1:80"), address(bad)]);
            assert!(
                matches!(refused, Err(LoadError::NotLoopback(named)) if named == address(bad)),
                "{bad}"
            );
        }
    }

    #[test]
    fn the_whole_of_loopback_is_allowed() {
        for good in ["127.0.0.1:80", "127.9.8.7:80", "[::1]:80", "[::ffff:127.0.0.1]:80"] {
            assert!(Endpoints::loopback([address(good)]).is_ok(), "{good}");
        }
    }

    #[test]
    fn a_refused_replacement_leaves_the_list_as_it_was() {
        let endpoints = Endpoints::loopback([address("127.0.0.1:80")]).unwrap();
        assert!(endpoints.replace([address("192.0.2.1:80")]).is_err());
        assert!(matches!(endpoints.pick(), Pick::Address(a) if a == address("127.0.0.1:80")));
    }

    #[test]
    fn a_resolver_cannot_leave_loopback_either() {
        let endpoints = Endpoints::from_fn(|| Some(SocketAddr::from(([192, 0, 2, 1], 80))));
        assert!(matches!(endpoints.pick(), Pick::Forbidden(_)));
    }

    #[test]
    fn connections_take_the_addresses_in_turn() {
        let endpoints =
            Endpoints::loopback([address("127.0.0.1:1"), address("127.0.0.1:2")]).unwrap();
        let ports: Vec<u16> = (0..4)
            .map(|_| match endpoints.pick() {
                Pick::Address(address) => address.port(),
                Pick::Forbidden(_) | Pick::Nothing => 0,
            })
            .collect();
        assert_eq!(ports, [1, 2, 1, 2]);
        endpoints.replace([]).unwrap();
        assert!(matches!(endpoints.pick(), Pick::Nothing));
    }
}
