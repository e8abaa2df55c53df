//! From what a person says of a service to the service, or to what is wrong with it; and the same of what was kept.

use hvym_tunnel_agent::{ServiceName, ServiceSpec, Target};
use hvym_tunnel_core::access::Access;
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_state::AddedService;

use crate::settings::{ManagedLinkSettings, ManagedService, ServiceProbe};
use crate::shapes::NewService;

/// The service that is meant.
///
/// # Errors
/// What is wrong, for a person.
pub(crate) fn managed_service(service: &NewService) -> Result<ManagedService, String> {
    let NewService { name, target, private, allow, probe, .. } = service;
    let name: ServiceName = name.parse().map_err(|error| format!("name: {error}"))?;
    let target: Target = target.parse().map_err(|error| format!("target: {error}"))?;
    if let Target::Folder(folder) = &target {
        // A relative one would be looked for where this process happens to run.
        if !folder.is_absolute() {
            return Err("target: a folder is given by its whole path".to_owned());
        }
    }
    let probe = match probe.as_deref() {
        None => ServiceProbe::for_target(&target),
        Some("tcp") => ServiceProbe::Tcp,
        Some("ollama") => ServiceProbe::Ollama,
        Some(path) if path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic()) => {
            ServiceProbe::Http(path.to_owned())
        }
        Some(_) => return Err("probe: tcp, ollama, or a path that begins with /".to_owned()),
    };
    let mut spec = ServiceSpec::new(name, target);
    spec.access = match (private, &allow[..]) {
        (false, []) => Access::Public,
        (false, _) => return Err("allow: a public service is for everybody".to_owned()),
        (true, allow) => {
            let parsed: Result<Vec<Address>, _> = allow.iter().map(|address| address.parse()).collect();
            Access::Private(parsed.map_err(|error| format!("allow: {error}"))?.into_iter().collect())
        }
    };
    Ok(ManagedService { probe, ..ManagedService::new(spec) })
}

/// A link with the services that were added to it in an earlier process, but for those whose name it has.
pub(crate) fn with_added(mut link: ManagedLinkSettings, services: &[AddedService]) -> ManagedLinkSettings {
    for added in services.iter().filter(|added| added.link == link.name) {
        let definition = serde_json::from_str(&added.definition).map_err(|error| error.to_string());
        match definition.and_then(|definition| managed_service(&definition)) {
            Ok(service) if link.services.iter().all(|known| known.spec.name != service.spec.name) => {
                link.services.push(service.added());
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(service = added.name, error, "a service that was added cannot be any more")
            }
        }
    }
    link
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str, target: &str) -> NewService {
        let (name, target) = (name.to_owned(), target.to_owned());
        NewService { name, target, link: None, private: false, allow: Vec::new(), probe: None }
    }

    #[test]
    fn a_service_is_understood_or_refused_with_the_member_that_is_wrong() {
        let ollama = managed_service(&service("llm", "11434")).expect("a service");
        assert_eq!((ollama.probe, ollama.spec.access), (ServiceProbe::Ollama, Access::Public));
        let probed = NewService { probe: Some("/health".to_owned()), ..service("web", "3000") };
        assert_eq!(
            managed_service(&probed).map(|service| service.probe),
            Ok(ServiceProbe::Http("/health".to_owned()))
        );
        let private = NewService { private: true, ..service("db", "tcp://db:5432") };
        assert!(managed_service(&private).is_ok_and(|service| !service.spec.access.is_public()));
        for (wrong, member) in [
            (service("", "3000"), "name"),
            (service("web", "ftp://x"), "target"),
            (service("web", "./site"), "target"),
            (NewService { probe: Some("icmp".to_owned()), ..service("web", "3000") }, "probe"),
            (NewService { probe: Some("/a b".to_owned()), ..service("web", "3000") }, "probe"),
            (NewService { allow: vec!["G".to_owned()], ..private }, "allow"),
            (NewService { allow: vec!["G".to_owned()], ..service("web", "3000") }, "allow"),
        ] {
            let error = managed_service(&wrong).expect_err(member);
            assert!(error.starts_with(&format!("{member}: ")), "{error}");
        }
    }
}
