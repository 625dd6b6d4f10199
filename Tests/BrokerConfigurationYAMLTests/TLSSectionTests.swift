import Broker
import BrokerConfigurationYAML
import Testing

@Suite struct `TLS of the public listener` {
    private static func lines(_ tls: String, listen: String = "0.0.0.0:8443", url: String = "https://a.b") -> [Int:
        String]
    {
        [2: "  public: {listen: \"\(listen)\", url: \"\(url)\", tls: \(tls)}"]
    }

    @Test func `two paths are enough: TLS 1.3, client certificates requested, any address`() throws {
        let lines = Self.lines("{certificate: server.pem, key: /etc/daypass/server.key}")
        let server = try SampleConfiguration.read(lines).configuration.server
        #expect(
            server.publicTLS
                == ListenerTLS(
                    certificateFile: "/config/server.pem", keyFile: "/etc/daypass/server.key",
                    requestsClientCertificates: true, minimumVersion: .tls13))
        #expect(server.publicListener.description == "0.0.0.0:8443")
    }

    @Test func `without the section there is no TLS`() throws {
        #expect(try SampleConfiguration.read().configuration.server.publicTLS == nil)
    }

    @Test(arguments: [
        ("client_certificates: off", false, ListenerTLS.Version.tls13),
        ("client_certificates: \"off\"", false, .tls13), ("client_certificates: request", true, .tls13),
        ("minimum_version: 1.2", true, .tls12), ("minimum_version: \"1.2\"", true, .tls12),
        ("minimum_version: \"1.3\", client_certificates: off", false, .tls13),
    ])
    func `certificates and versions are words`(more: String, requests: Bool, version: ListenerTLS.Version) throws {
        let lines = Self.lines("{certificate: a.pem, key: a.key, \(more)}", listen: "127.0.0.1:8443")
        let tls = try #require(try SampleConfiguration.read(lines).configuration.server.publicTLS)
        #expect(tls.requestsClientCertificates == requests)
        #expect(tls.minimumVersion == version)
    }

    private static let forwarding = "off or {header: …, from: [spiffe://…]}"
    private static let proxy =
        "the SPIFFE ID of a proxy, such as \"spiffe://prod.example.com/ns/edge/sa/envoy\", or a pattern with wildcards in its path"

    @Test(arguments: [
        ("client_certificates: request", nil), ("forwarded_certificates: off", nil),
        (
            "forwarded_certificates: {header: client-cert, from: [\"spiffe://a/b\"]}",
            ListenerTLS.CertificateHeader.clientCert
        ),
        (
            "forwarded_certificates: {header: x-forwarded-client-cert, from: [\"spiffe://a/*/b\", \"spiffe://c/**\"]}",
            .forwardedClientCert
        ),
    ])
    func `no proxy is believed unless its header is named`(more: String, header: ListenerTLS.CertificateHeader?) throws
    {
        let lines = Self.lines("{certificate: a.pem, key: a.key, \(more)}")
        let tls = try #require(try SampleConfiguration.read(lines).configuration.server.publicTLS)
        #expect(tls.forwardedCertificates?.header == header)
    }

    @Test(arguments: [
        (
            "{}",
            [
                "61: expected the key \"certificate\" in server.public.tls",
                "61: expected the key \"key\" in server.public.tls",
            ]
        ),
        ("{key: a}", ["61: expected the key \"certificate\" in server.public.tls"]),
        ("{certificate: a}", ["61: expected the key \"key\" in server.public.tls"]),
        (
            "true",
            [
                "61: expected server.public.tls, a mapping with the keys certificate, key, client_certificates, forwarded_certificates, minimum_version"
            ]
        ),
        (
            "~",
            [
                "61: expected server.public.tls, a mapping with the keys certificate, key, client_certificates, forwarded_certificates, minimum_version"
            ]
        ),
        (
            "{certificate: a, key: a, client_certificate: off}",
            ["86: unknown key \"client_certificate\"; did you mean \"client_certificates\"?"]
        ),
        ("{certificate: a, key: a, client_certificates: require}", ["107: expected request or off"]),
        ("{certificate: a, key: a, client_certificates: false}", ["107: expected request or off"]),
        ("{certificate: a, key: a, client_certificates: Off}", ["107: expected request or off"]),
        ("{certificate: a, key: a, forwarded_certificates: on}", ["110: expected \(Self.forwarding)"]),
        ("{certificate: a, key: a, forwarded_certificates: client-cert}", ["110: expected \(Self.forwarding)"]),
        (
            "{certificate: a, key: a, forwarded_certificates: {header: client-cert}}",
            ["110: expected the key \"from\" in forwarded_certificates"]
        ),
        (
            "{certificate: a, key: a, forwarded_certificates: {header: Client-Cert, from: [\"spiffe://a/b\"]}}",
            ["119: expected client-cert or x-forwarded-client-cert"]
        ),
        (
            "{certificate: a, key: a, forwarded_certificates: {header: client-cert, from: [\"spiffe://*/b\"]}}",
            ["139: expected \(Self.proxy)"]
        ),
        (
            "{certificate: a, key: a, forwarded_certificates: {header: client-cert, from: [\"**\"]}}",
            ["139: expected \(Self.proxy)"]
        ),
        (
            "{certificate: a, key: a, forwarded_certificates: {header: client-cert, from: [\"spiffe://a/\"]}}",
            ["139: expected \(Self.proxy)"]
        ),
        ("{certificate: a, key: a, minimum_version: \"1.1\"}", ["103: expected \"1.3\" or \"1.2\""]),
        ("{certificate: a, key: a, minimum_version: 1}", ["103: expected \"1.3\" or \"1.2\""]),
        ("{certificate: a, key: a, minimum_version: 1.30}", ["103: expected \"1.3\" or \"1.2\""]),
        ("{certificate: a, key: ''}", ["83: expected the path of a PEM file"]),
    ])
    func `what is missing, misspelt or weak is refused`(tls: String, errors: [String]) {
        #expect(SampleConfiguration.errors(Self.lines(tls)) == errors.map { "2:\($0)" })
    }

    @Test func `a public URL of http is refused, also on loopback`() {
        let lines = Self.lines("{certificate: a, key: b}", listen: "127.0.0.1:8443", url: "http://localhost:8443")
        #expect(
            SampleConfiguration.errors(lines)
                == ["2:43: expected a URL that begins with https://, since there is server.public.tls"])
    }

    @Test func `a faulty section does not bring a complaint about the address as well`() {
        #expect(
            SampleConfiguration.errors(Self.lines("{certificate: a, key: b, minimum_version: ssl}"))
                == ["2:103: expected \"1.3\" or \"1.2\""])
    }
}
