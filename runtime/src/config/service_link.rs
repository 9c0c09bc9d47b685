//! Variables that Kubernetes adds to the environment of each container: for every Service of the
//! namespace, its addresses. Those of a Service whose name begins with `tollgate` look like settings.

/// The protocols that a Service's port may have.
const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];

/// Returns `true` if Kubernetes made this variable of a Service. The Service `tollgate-redis` has
/// `TOLLGATE_REDIS_SERVICE_HOST`, `TOLLGATE_REDIS_SERVICE_PORT`, one such variable more for each
/// port with a name, `TOLLGATE_REDIS_PORT`, and four variables that begin with
/// `TOLLGATE_REDIS_PORT_6379_TCP`.
pub(super) fn is_service_link(name: &str, value: &str) -> bool {
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || name.ends_with("_PORT") && is_url(value)
        || name.match_indices("_PORT_").any(|(at, found)| is_port(&name[at + found.len()..]))
}

/// Returns `true` for the address of a Service, such as `tcp://10.0.0.1:6379`.
fn is_url(value: &str) -> bool {
    let scheme = value.split_once("://").map(|(scheme, _)| scheme.to_ascii_uppercase());
    scheme.is_some_and(|scheme| PROTOCOLS.contains(&scheme.as_str()))
}

/// Returns `true` for a number and a protocol, alone or with the name of a part: `6379_TCP`,
/// `6379_TCP_ADDR`.
fn is_port(text: &str) -> bool {
    let mut words = text.split('_');
    words.next().is_some_and(|number| number.parse::<u16>().is_ok())
        && words.next().is_some_and(|protocol| PROTOCOLS.contains(&protocol))
        && matches!((words.next(), words.next()), (None | Some("PROTO" | "PORT" | "ADDR"), None))
}

#[cfg(test)]
mod tests {
    use super::is_service_link;

    /// Returns the variables that the kubelet makes of a Service with these ports: number, protocol
    /// and name. It is the rule of Kubernetes, written down once more.
    fn variables(service: &str, ports: &[(u16, &str, &str)]) -> Vec<(String, String)> {
        let word = |text: &str| text.to_uppercase().replace('-', "_");
        let (name, host) = (word(service), "10.96.0.17");
        let (first, protocol, _) = ports[0];
        let url = |protocol: &str, port: u16| format!("{protocol}://{host}:{port}");
        let mut variables = vec![
            (format!("{name}_SERVICE_HOST"), host.to_owned()),
            (format!("{name}_SERVICE_PORT"), first.to_string()),
            (format!("{name}_PORT"), url(protocol, first)),
        ];
        for (port, protocol, called) in ports {
            if !called.is_empty() {
                variables.push((format!("{name}_SERVICE_PORT_{}", word(called)), port.to_string()));
            }
            let prefix = format!("{name}_PORT_{port}_{}", word(protocol));
            variables.extend([
                (prefix.clone(), url(protocol, *port)),
                (format!("{prefix}_PROTO"), (*protocol).to_owned()),
                (format!("{prefix}_PORT"), port.to_string()),
                (format!("{prefix}_ADDR"), host.to_owned()),
            ]);
        }
        variables
    }

    #[test]
    fn the_variables_of_every_service_are_recognized() {
        let ports: [&[(u16, &str, &str)]; 4] = [
            &[(80, "tcp", "")],
            &[(6379, "tcp", "redis"), (16379, "tcp", "cluster-bus")],
            &[(53, "udp", "dns"), (53, "tcp", "dns-tcp")],
            &[(3868, "sctp", "service-port")],
        ];
        for service in
            ["tollgate", "tollgate-redis", "tollgate-service", "tollgate-port-1", "tollgate--a"]
        {
            for (name, value) in ports.iter().flat_map(|ports| variables(service, ports)) {
                assert!(is_service_link(&name, &value), "{name}={value}");
            }
        }
    }

    #[test]
    fn settings_and_mistakes_are_none() {
        for (name, value) in [
            ("TOLLGATE_INSTANCES", "3"),
            ("TOLLGATE_BACKEND__URL", "redis://tcp/1"),
            ("TOLLGATE_BACKEND__MAX_KEYS", "1000"),
            ("TOLLGATE_PORT", "8080"),
            ("TOLLGATE_PORT", "http://10.0.0.1"),
            ("TOLLGATE_PORT_X_TCP", "1"),
            ("TOLLGATE_PORT_80_TCP_NAME", "1"),
            ("TOLLGATE_PORT_80_TCP_ADDR_X", "1"),
            ("TOLLGATE_SERVICE", "api"),
        ] {
            assert!(!is_service_link(name, value), "{name}={value}");
        }
    }
}
