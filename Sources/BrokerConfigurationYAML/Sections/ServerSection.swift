internal import Broker

/// `server`
struct ServerSection {
    let configuration: ServerConfiguration

    init?(_ node: YAMLNode, files: any ConfigurationFiles, problems: Problems) {
        let server = Fields(
            node, "server", known: ["public", "telemetry", "admin", "limits"], problems: problems)
        guard let server else { return nil }
        let listener = server.required("public").flatMap { Self.publicListener($0, files, problems) }
        let telemetry = server["telemetry"].map { Self.telemetry($0, problems) } ?? Self.defaultTelemetry
        server["admin"].map { Self.admin($0, problems) }
        let limits = server["limits"].map { Self.limits($0, problems) } ?? ServerConfiguration.Limits()
        guard let listener, let telemetry, let limits else { return nil }
        guard listener.address != telemetry || listener.address.port == 0 else {
            problems.add(server["telemetry"]?.place ?? node.place, "expected another address than server.public.listen")
            return nil
        }
        configuration = ServerConfiguration(
            publicListener: listener.address, publicTLS: listener.tls, publicURL: listener.url,
            telemetryListener: telemetry, trustedProxies: listener.trustedProxies, limits: limits)
    }

    private typealias PublicListener = (
        address: ListenAddress, tls: ListenerTLS?, url: String, trustedProxies: [AddressBlock]
    )

    private static let defaultTelemetry: ListenAddress? = ListenAddress(host: "127.0.0.1", port: 9464)

    private static func publicListener(
        _ node: YAMLNode, _ files: any ConfigurationFiles, _ problems: Problems
    ) -> PublicListener? {
        let fields = Fields(
            node, "server.public", known: ["listen", "url", "trusted_proxies", "tls"], problems: problems)
        guard let fields else { return nil }
        let section = fields["tls"]
        let tls = section.flatMap { TLSSection.listener($0, files: files, problems: problems) }
        let address = fields.required("listen").flatMap { node -> ListenAddress? in
            guard let address = listenAddress(node, problems) else { return nil }
            guard section != nil || address.isLoopback else {
                return node.refused(
                    problems,
                    "expected a loopback address such as 127.0.0.1:8080, since there is no server.public.tls: "
                        + "a proxy on the same host has to terminate TLS")
            }
            return address
        }
        let url = fields.required("url").flatMap { node -> String? in
            guard let url = origin(node, problems) else { return nil }
            guard section == nil || url.hasPrefix("https://") else {
                return node.refused(
                    problems, "expected a URL that begins with https://, since there is server.public.tls")
            }
            return url
        }
        let proxies = fields["trusted_proxies"].map { trustedProxies($0, problems) } ?? []
        guard let address, let url, let proxies, section == nil || tls != nil else { return nil }
        if section == nil, proxies.isEmpty, url.hasPrefix("https:") {
            problems.note(
                fields["trusted_proxies"]?.place ?? node.place,
                "clients come through a proxy, since there is no server.public.tls, and while it is not in "
                    + "trusted_proxies all of them share the limits of one: "
                    + "write trusted_proxies: [\"\(address.host)\"], or where else the proxy connects from")
        }
        if let section, let tls { noteIneffective(section, tls, proxies, problems) }
        return (address, tls, url, proxies)
    }

    /// What proxies forward counts only from those that are listed and show a certificate of their own.
    private static func noteIneffective(
        _ node: YAMLNode, _ tls: ListenerTLS, _ proxies: [AddressBlock], _ problems: Problems
    ) {
        guard tls.forwardedCertificates != nil else { return }
        if proxies.isEmpty {
            problems.note(
                node.place, "forwarded_certificates has no effect while server.public.trusted_proxies is empty")
        } else if !tls.requestsClientCertificates {
            problems.note(
                node.place,
                "forwarded_certificates has no effect while client_certificates is off: "
                    + "a proxy has to show a certificate of its own")
        }
    }

    private static func trustedProxies(_ node: YAMLNode, _ problems: Problems) -> [AddressBlock]? {
        let nodes = node.list(problems, of: "addresses and blocks of them", allowsNone: true)
        guard let nodes else { return nil }
        let blocks = nodes.map { addressBlock($0, problems) }
        return blocks.contains { $0 == nil } ? nil : blocks.compactMap { $0 }
    }

    private static func addressBlock(_ node: YAMLNode, _ problems: Problems) -> AddressBlock? {
        let expected = "an address or a block such as \"127.0.0.1\", \"10.2.0.0/16\" or \"2001:db8::/32\""
        guard let text = node.text(problems, expected: expected) else { return nil }
        do {
            return try AddressBlock(parsing: text)
        } catch {
            let reason =
                switch error {
                case .form: ""
                case .hostBits: ", which has no bits set behind its prefix"
                case .mapped: "; write the IPv4 address itself"
                case .everything: "; a prefix of 0 bits would let everybody name any address as his"
                }
            return node.refused(problems, "expected \(expected)\(reason)")
        }
    }

    private static func telemetry(_ node: YAMLNode, _ problems: Problems) -> ListenAddress? {
        let fields = Fields(node, "server.telemetry", known: ["listen"], later: ["tls"], problems: problems)
        return fields?.required("listen").flatMap { listenAddress($0, problems) }
    }

    private static func admin(_ node: YAMLNode, _ problems: Problems) {
        let fields = Fields(
            node, "server.admin", known: ["socket"], later: ["group", "listen", "tls"], problems: problems)
        guard let socket = fields?.required("socket") else { return }
        guard socket.path(problems, expected: "the path of a socket") != nil else { return }
        problems.note(
            socket.place, "server.admin.socket has no effect yet: this version opens no administration socket")
    }

    private static func limits(_ node: YAMLNode, _ problems: Problems) -> ServerConfiguration.Limits? {
        let fields = Fields(
            node, "server.limits", known: ["connections", "exchanges_per_second_per_address"], problems: problems)
        guard let fields else { return nil }
        let standard = ServerConfiguration.Limits()
        let number = { (key: String, otherwise: Int) in
            fields[key].map { $0.integer(problems, in: 1...1_000_000) } ?? otherwise
        }
        guard let connections = number("connections", standard.connections),
            let rate = number("exchanges_per_second_per_address", standard.exchangesPerSecondPerAddress)
        else { return nil }
        return ServerConfiguration.Limits(connections: connections, exchangesPerSecondPerAddress: rate)
    }

    private static func listenAddress(_ node: YAMLNode, _ problems: Problems) -> ListenAddress? {
        let expected = "an address such as \"127.0.0.1:8080\" or \"[::1]:8080\""
        guard let text = node.text(problems, expected: expected) else { return nil }
        return ListenAddress(parsing: text) ?? node.refused(problems, "expected \(expected)")
    }

    /// The broker's own address: https, or http where the host is a loopback one.
    static func origin(_ node: YAMLNode, _ problems: Problems) -> String? {
        let expected =
            "a URL such as https://daypass.example.com: https (http only for a loopback host), "
            + "and nothing behind the host and port"
        guard let text = node.text(problems, expected: expected) else { return nil }
        guard let address = WebAddress(parsing: text), address.isOrigin, address.isSecure || address.isLoopback
        else { return node.refused(problems, "expected \(expected)") }
        return text
    }
}
