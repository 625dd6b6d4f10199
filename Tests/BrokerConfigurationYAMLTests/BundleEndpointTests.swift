import Broker
import BrokerConfigurationYAML
import BrokerTesting
import Foundation
import JOSE
import SPIFFE
import Testing

@Suite struct `Bundle endpoints in a configuration` {
    private static let domain = Result { try TestTrustDomain() }

    /// `bundles` are those of prod.example.com and of what else there is, written as they stand behind `bundle:`.
    private func yaml(_ bundles: [(name: String, bundle: String)]) -> [UInt8] {
        let lines =
            [
                "server: {public: {listen: \"127.0.0.1:8080\", url: \"http://127.0.0.1:8080\"}}",
                "tokens: {audiences: [\"https://gateway.example.com\"]}", "store: {sqlite: data/daypass.db}",
                "master_key_file: data/master.key", "trust_domains:",
            ] + bundles.map { "  - name: \($0.name)\n    audience: us\n    bundle: \($0.bundle)" } + ["rules:"]
            + bundles.enumerated().map { index, domain in
                "  - {name: r\(index), trust_domain: \(domain.name), match: {spiffe_id: \"spiffe://\(domain.name)/a/*\"},"
                    + " grant: {scope: [a]}}"
            }
        return Array((lines.joined(separator: "\n") + "\n").utf8)
    }

    private func files() throws -> [String: [UInt8]] {
        let domain = try Self.domain.get()
        let certificate = Data(domain.ca.certificate).base64EncodedString()
        return [
            "config/first.json": domain.bundleJSON, "config/damaged.json": Array("{".utf8),
            "config/ca.pem": Array("-----BEGIN CERTIFICATE-----\n\(certificate)\n-----END CERTIFICATE-----\n".utf8),
            "config/empty.pem": [], "config/key.pem": Array("-----BEGIN PRIVATE KEY-----\n".utf8),
        ]
    }

    private func errors(_ bundles: [(name: String, bundle: String)]) throws -> [String] {
        SampleConfiguration.errors(yaml(bundles), files: try files())
    }

    private func endpoint(_ bundle: String) throws -> BundleEndpoint {
        let reading = try SampleConfiguration.read(yaml([("prod.example.com", bundle)]), files: files())
        #expect(reading.notes.isEmpty)
        guard case .endpoint(let endpoint) = reading.configuration.trustDomains.first?.bundle else {
            return try #require(nil, "no endpoint was read")
        }
        return endpoint
    }

    @Test func `a web endpoint is read as written, without anything else being assumed`() throws {
        let endpoint = try endpoint(#"{endpoint: "https://a.example/b?c=d", profile: https_web}"#)
        #expect(endpoint.url == "https://a.example/b?c=d" && endpoint.profile == .web)
        #expect(endpoint.authorities == nil && endpoint.initial == nil && !endpoint.allowsPrivateAddresses)
    }

    @Test func `a web endpoint may have authorities, a private address and a first bundle`() throws {
        let endpoint = try endpoint(
            #"{endpoint: "https://10.0.0.1:8443", profile: https_web, authorities: ca.pem, allow_private: true, file: first.json}"#
        )
        #expect(endpoint.authorities == (try files()["config/ca.pem"]) && endpoint.allowsPrivateAddresses)
        #expect(endpoint.initial?.authorities.count == 1 && endpoint.initial?.jwtKeys.count == 1)
    }

    @Test func `an endpoint of https_spiffe has the id of who serves it, and of its own domain a first bundle`() throws
    {
        let endpoint = try endpoint(
            #"{endpoint: "https://a.example", profile: https_spiffe, endpoint_spiffe_id: "spiffe://prod.example.com/b", file: first.json}"#
        )
        #expect(endpoint.profile == .spiffe(try SPIFFEID(parsing: "spiffe://prod.example.com/b")))
        #expect(endpoint.initial?.authorities.count == 1)
    }

    @Test(arguments: [
        (#"{endpoint: "http://a.example", profile: https_web}"#, "8:24: expected the URL of a bundle endpoint, https"),
        (#"{endpoint: "https://u@a.example", profile: https_web}"#, "8:24: expected the URL of a bundle endpoint"),
        (#"{endpoint: "https://a.example/#b", profile: https_web}"#, "8:24: expected the URL of a bundle endpoint"),
        (#"{endpoint: "https://a.example"}"#, #"8:13: expected the key "profile""#),
        (#"{endpoint: "https://a.example", profile: https}"#, "8:54: expected https_web or https_spiffe"),
        (#"{endpoint: "https://a.example", profile: https_web, allow_private: "no"}"#, "8:80: expected true or false"),
        (
            #"{endpoint: "https://a.example", profile: https_web, endpoint_spiffe_id: "spiffe://a/b"}"#,
            "8:85: endpoint_spiffe_id stands only beside https_spiffe"
        ),
        (#"{file: first.json, allow_private: true}"#, "8:47: allow_private stands only beside endpoint"),
        (#"{file: first.json, authorities: ca.pem}"#, "8:45: authorities stands only beside endpoint"),
        (#"{authorities: ca.pem}"#, "8:27: authorities stands only beside endpoint"),
        (
            #"{endpoint: "https://a.example", profile: https_web, file: none.json}"#,
            "config/none.json: there is no such file"
        ),
        (
            #"{endpoint: "https://a.example", profile: https_web, file: damaged.json}"#,
            "config/damaged.json: the bundle is"
        ),
        (
            #"{endpoint: "https://a.example", profile: https_web, authorities: none.pem}"#,
            "config/none.pem: there is no such file"
        ),
        (
            #"{endpoint: "https://a.example", profile: https_web, authorities: empty.pem}"#,
            "config/empty.pem: it has no certificate"
        ),
        (#"{endpoint: "https://a.example", profile: https_web, authorities: key.pem}"#, "that is no certificate"),
        (#"{endpoint: "https://a.example", profile: https_spiffe}"#, "8:54: expected endpoint_spiffe_id as well"),
        (
            #"{endpoint: "https://a.example", profile: https_spiffe, endpoint_spiffe_id: "spiffe://A/b"}"#,
            "8:88: expected the SPIFFE ID of whoever serves the bundle"
        ),
        (
            #"{endpoint: "https://a.example", profile: https_spiffe, endpoint_spiffe_id: "spiffe://prod.example.com/b"}"#,
            "8:24: expected file as well: the first bundle of prod.example.com, by which its own server is known"
        ),
        (
            #"{endpoint: "https://a.example", profile: https_spiffe, endpoint_spiffe_id: "spiffe://a/b", authorities: ca.pem}"#,
            "authorities stands only beside https_web"
        ),
        (
            #"{endpoint: "https://a.example", profile: https_spiffe, endpoint_spiffe_id: "spiffe://other/b", file: first.json}"#,
            "8:88: expected the SPIFFE ID of a configured trust domain: none is named other"
        ),
    ])
    func `what is wrong is an error in words`(bundle: String, error: String) throws {
        let errors = try errors([("prod.example.com", bundle)])
        #expect(errors.contains { $0.contains(error) }, "\(errors)")
    }

    private static func served(by domain: String, _ more: String = "") -> String {
        #"{endpoint: "https://a.example", profile: https_spiffe, endpoint_spiffe_id: "spiffe://\#(domain)/b"\#(more)}"#
    }

    @Test func `trust domains that vouch for each other in a circle need a first bundle`() throws {
        let circle = [("a", Self.served(by: "b")), ("b", Self.served(by: "c")), ("c", Self.served(by: "a"))]
        let expected = "can be had before that of"
        #expect(try errors(circle).count { $0.contains(expected) } == 3)
        let broken = [circle[0], circle[1], ("c", Self.served(by: "a", ", file: first.json"))]
        #expect(try !errors(broken).contains { $0.contains(expected) })
        let fetched = [circle[0], ("b", #"{endpoint: "https://b.example", profile: https_web}"#)]
        #expect(try !errors(fetched).contains { $0.contains(expected) || $0.contains("a configured trust domain") })
    }
}
