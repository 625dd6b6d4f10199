import Broker
import BrokerConfigurationYAML
import Testing

@Suite struct `Where a broker is administered` {
    private static func lines(_ admin: String) -> [Int: String] {
        [2: "\(SampleConfiguration.lines[1])\n  admin: \(admin)"]
    }

    private static let tls = "tls: {certificate: a.pem, key: a.key}"

    @Test func `is a socket, which is in the folder of the configuration where it is relative`() throws {
        let server = try SampleConfiguration.read(Self.lines("{socket: run/admin.sock}")).configuration.server
        #expect(server.administration == AdministrationConfiguration(socketPath: "/config/run/admin.sock"))
    }

    @Test func `may be a group's too, and on the network with TLS`() throws {
        let lines = Self.lines(
            "{socket: /run/d/a.sock, group: daypass-admins, listen: \"0.0.0.0:8444\", \(Self.tls)}")
        #expect(
            try SampleConfiguration.read(lines).configuration.server.administration
                == AdministrationConfiguration(
                    socketPath: "/run/d/a.sock", group: "daypass-admins",
                    network: .init(
                        address: ListenAddress(host: "0.0.0.0", port: 8444),
                        tls: ListenerTLS(certificateFile: "/config/a.pem", keyFile: "/config/a.key"))))
    }

    @Test(arguments: [
        ("{}", "expected the key \"socket\" in server.admin"), ("{socket: \"\"}", "expected the path of a socket"),
        ("{socket: /\(String(repeating: "a", count: 107))}", "expected a path of at most 107 bytes"),
        ("{socket: /a, group: \"a b\"}", "expected the name of a group"),
        ("{socket: /a, group: [a]}", "expected the name of a group"),
        ("{socket: /a, listen: \"127.0.0.1:1\"}", "expected server.admin.tls beside it"),
        ("{socket: /a, \(tls)}", "expected server.admin.listen beside it"),
        ("{socket: /a, listen: \"localhost:1\", \(tls)}", "expected an address"),
        ("{socket: /a, listen: \"127.0.0.1:9464\", \(tls)}", "expected another address than those of"),
        ("{socket: /a, listen: \"127.0.0.1:1\", tls: {certificate: a}}", "in server.admin.tls"),
        (
            "{socket: /a, listen: \"127.0.0.1:1\", tls: {certificate: a, key: b, forwarded_certificates: off}}",
            "unknown key \"forwarded_certificates\""
        ), ("{socket: /a, groups: x}", "did you mean"),
    ])
    func `is refused in words where it is not right`(_ admin: String, _ words: String) {
        let errors = #expect(throws: ConfigurationErrors.self) { try SampleConfiguration.read(Self.lines(admin)) }
        #expect(errors?.description.contains(words) == true, "\(String(describing: errors))")
    }
}
