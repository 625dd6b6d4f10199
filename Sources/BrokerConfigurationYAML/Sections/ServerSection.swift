internal import Broker

/// `server`
struct ServerSection {
    let configuration: ServerConfiguration

    init?(_ node: YAMLNode, problems: Problems) {
        let server = Fields(
            node, "server", known: ["public", "telemetry", "admin", "limits"], problems: problems)
        guard let server else { return nil }
        let listener = server.required("public").flatMap { Self.publicListener($0, problems) }
        let telemetry = server["telemetry"].map { Self.telemetry($0, problems) } ?? Self.defaultTelemetry
        server["admin"].map { Self.admin($0, problems) }
        let connections = server["limits"].map { Self.limits($0, problems) } ?? 10_000
        guard let listener, let telemetry, let connections else { return nil }
        guard listener.address != telemetry || listener.address.port == 0 else {
            problems.add(server["telemetry"]?.place ?? node.place, "expected another address than server.public.listen")
            return nil
        }
        configuration = ServerConfiguration(
            publicListener: listener.address, publicURL: listener.url, telemetryListener: telemetry,
            maximumConnections: connections)
    }

    private static let defaultTelemetry: ListenAddress? = ListenAddress(host: "127.0.0.1", port: 9464)

    private static func publicListener(
        _ node: YAMLNode, _ problems: Problems
    ) -> (address: ListenAddress, url: String)? {
        let fields = Fields(
            node, "server.public", known: ["listen", "url"], later: ["trusted_proxies", "tls"], problems: problems)
        guard let fields else { return nil }
        let address = fields.required("listen").flatMap { node -> ListenAddress? in
            guard let address = listenAddress(node, problems) else { return nil }
            guard address.isLoopback else {
                return node.refused(
                    problems,
                    "expected a loopback address such as 127.0.0.1:8080: this version serves plain HTTP only, "
                        + "so a proxy on the same host has to terminate TLS")
            }
            return address
        }
        let url = fields.required("url").flatMap { origin($0, problems) }
        guard let address, let url else { return nil }
        return (address, url)
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

    private static func limits(_ node: YAMLNode, _ problems: Problems) -> Int? {
        let fields = Fields(
            node, "server.limits", known: ["connections", "exchanges_per_second_per_address"], problems: problems)
        guard let fields else { return nil }
        if let rate = fields["exchanges_per_second_per_address"],
            rate.integer(problems, in: 1...1_000_000) != nil
        {
            problems.note(
                rate.place,
                "server.limits.exchanges_per_second_per_address has no effect yet: "
                    + "this version does not limit exchanges per address")
        }
        guard let connections = fields["connections"] else { return 10_000 }
        return connections.integer(problems, in: 1...1_000_000)
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
