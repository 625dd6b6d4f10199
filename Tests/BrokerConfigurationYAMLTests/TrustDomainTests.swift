import Broker
import BrokerConfigurationYAML
import BrokerTesting
import Foundation
import JOSE
import SPIFFE
import Testing

@Suite struct `Trust domains in a configuration` {
    private static let domain = Result { try TestTrustDomain() }

    private static let lines = [
        "server:",
        "  public: {listen: \"0.0.0.0:8443\", url: \"https://daypass.example.com\", tls: {certificate: c, key: k}}",
        "tokens: {audiences: [\"https://gateway.example.com\"]}", "store: {sqlite: data/daypass.db}",
        "master_key_file: data/master.key", "trust_domains:", "  - name: prod.example.com",
        "    bundle: {file: ../certs/prod.json}", "rules:", "  - name: batch",
        "    trust_domain: prod.example.com",
        "    match: {spiffe_id: \"spiffe://prod.example.com/ns/ml/sa/*\"}",
        "    grant: {scope: [a], bind: true}",
    ]

    private static func yaml(_ replacements: [Int: String] = [:]) -> [UInt8] {
        let text = lines.enumerated().map { replacements[$0 + 1] ?? $1 }.joined(separator: "\n")
        return Array((text + "\n").utf8)
    }

    private func files(_ bundle: [UInt8]? = nil) throws -> [String: [UInt8]] {
        ["config/../certs/prod.json": try bundle ?? Self.domain.get().bundleJSON]
    }

    private func read(
        _ replacements: [Int: String] = [:], bundle: [UInt8]? = nil
    ) throws -> ConfigurationReader.Reading {
        try SampleConfiguration.read(Self.yaml(replacements), files: files(bundle))
    }

    private func errors(_ replacements: [Int: String], bundle: [UInt8]? = nil) throws -> [String] {
        SampleConfiguration.errors(Self.yaml(replacements), files: try files(bundle))
    }

    @Test func `a file of keys, a rule of patterns and a binding grant are read as written`() throws {
        let (configuration, notes) = try read()
        #expect(notes.isEmpty)
        let domain = try #require(configuration.trustDomains.first)
        #expect(domain.name.name == "prod.example.com" && domain.audience == "https://daypass.example.com")
        #expect(domain.maximumLifetime == .seconds(3600) && domain.replay == .standard)
        guard case .file(let bundle, let path) = domain.bundle else {
            Issue.record("\(domain.bundle)")
            return
        }
        #expect(path == "/config/../certs/prod.json")
        #expect(bundle.authorities.count == 1 && bundle.jwtKeys.count == 1)
        let rule = try #require(configuration.rules.rules.first)
        #expect(rule.issuer == IssuerName(domain.name) && rule.terms.bindsCertificate)
    }

    @Test func `a PEM bundle, an audience, a lifetime and a replay policy are read as well`() throws {
        let certificate = Data(try Self.domain.get().ca.certificate).base64EncodedString()
        let pem = "-----BEGIN CERTIFICATE-----\n\(certificate)\n-----END CERTIFICATE-----\n"
        let (configuration, _) = try read(
            [
                8:
                    "    bundle: {file: ../certs/prod.json}\n    audience: us\n    max_lifetime: 5m\n    replay: {mode: once}"
            ],
            bundle: Array(pem.utf8))
        let domain = try #require(configuration.trustDomains.first)
        #expect(domain.audience == "us" && domain.maximumLifetime == .seconds(300) && domain.replay == .once)
        guard case .file(let bundle, _) = domain.bundle else { return }
        #expect(bundle.authorities.count == 1 && bundle.jwtKeys.isEmpty)
    }

    @Test func `a bundle that trusts nobody is read, with a warning`() throws {
        let notes = try read(bundle: Array(#"{"keys": []}"#.utf8)).notes
        #expect(
            notes.map(\.text) == [
                "config/../certs/prod.json: the bundle has no usable entry, so every SVID of prod.example.com is refused"
            ])
    }

    @Test(arguments: [
        ("{", "the bundle is "), ("not a bundle", "the bundle is not made of PEM blocks"),
        (#"{"keys": {}}"#, "the bundle has no array `keys`"),
        ("-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----", "that is no certificate"),
    ])
    func `a file that is no bundle is an error`(contents: String, error: String) throws {
        let errors = try errors([:], bundle: Array(contents.utf8))
        #expect(errors.count == 1 && errors[0].hasPrefix("8:20: config/../certs/prod.json: "))
        #expect(errors.first?.contains(error) == true, "\(errors)")
    }

    @Test func `a file that is missing is an error`() {
        let errors = SampleConfiguration.errors(Self.yaml())
        #expect(errors == ["8:20: config/../certs/prod.json: there is no such file"])
    }

    @Test(arguments: [
        (7, "  - name: PROD.example.com", "7:11: expected the name of a trust domain, such as prod.example.com"),
        (7, "  - name: spiffe://prod.example.com", "7:11: expected the name of a trust domain, such as"),
        (7, "  - nmae: prod.example.com", #"7:5: unknown key "nmae"; did you mean "name"?"#),
        (8, "    bundle: {}", "8:13: expected {file: …} or {endpoint: …, profile: …}"),
        (8, "    bundle: {file: a, profile: https_web}", "8:32: profile stands only beside endpoint"),
        (11, "    trust_domain: prod.example.co", #"did you mean "prod.example.com"?"#),
        (11, "    issuer: prod.example.com", "11:13: expected the name of an issuer"),
        (11, "    trust_domain: prod.example.com\n    issuer: corp", "expected issuer or trust_domain, not both"),
        (11, "    # neither", #"expected the key "issuer" in a rule, or "trust_domain""#),
        (12, "    match: {}", "expected 1 to 64 claims"),
        (12, "    match: {sub: \"spiffe://prod.example.com/a\"}", "12:13: expected spiffe_id alone"),
        (12, "    match: {trust_domain: a}", "12:13: trust_domain stands beside match"),
        (12, "    match: {spiffe_id: true}", "a SPIFFE ID is text"),
        (13, "    grant: {scope: [a], bind: \"true\"}", "13:31: expected true or false, without quotes"),
    ])
    func `what is wrong is an error in words`(line: Int, text: String, error: String) throws {
        let errors = try errors([line: text])
        #expect(errors.contains { $0.contains(error) }, "\(errors)")
    }

    @Test(arguments: [
        "**", "*", "spiffe:**", "spiffe://**", "spiffe://*/ns/ml/sa/x", "spiffe://prod.example.com",
        "spiffe://prod.example.com/", "spiffe://prod.example.com*/x", "spiffe://prod.example.com.evil.example/x",
        "spiffe://PROD.example.com/x", "spiffe://prod.example.com//x", "spiffe://prod.example.com/x/",
        "spiffe://prod.example.com/../x", "spiffe://prod.example.com/a%2Fb", "spiffe://prod.example.com/a b",
        "spiffe://prod.example.com/caf\u{E9}", #"spiffe://prod.example.com/\*"#, "spiffe://prod.example.com/a:b",
        "spiffe://other.example.com/x", "/ns/ml/sa/*",
    ])
    func `a pattern that reaches beyond the trust domain, or that no id matches, is an error`(pattern: String) throws {
        let errors = try errors([12: "    match: {spiffe_id: '\(pattern)'}"])
        #expect(errors.count == 1 && errors[0].hasPrefix("12:24: expected a pattern such as"), "\(errors)")
    }

    @Test(arguments: [
        "spiffe://prod.example.com/ns/ml/sa/x", "spiffe://prod.example.com/ns/*/sa/x*",
        "spiffe://prod.example.com/a/**",
        "spiffe://prod.example.com/.a*", "spiffe://prod.example.com/*.b",
    ])
    func `any other pattern is read without a word`(pattern: String) throws {
        #expect(try read([12: "    match: {spiffe_id: '\(pattern)'}"]).notes.isEmpty)
    }

    @Test(arguments: ["*", "**", "*/*", "*/**"])
    func `a pattern that any workload of the domain matches is a warning`(path: String) throws {
        let notes = try read([12: "    match: {spiffe_id: 'spiffe://prod.example.com/\(path)'}"]).notes
        #expect(notes.count == 1 && notes[0].place.line == 12)
        #expect(notes[0].text.contains("matches whatever workload of prod.example.com"))
    }

    @Test func `a rule behind one that matches whatever it matches is a warning`() throws {
        let hidden = """
                grant: {scope: [a]}
              - name: scorer
                trust_domain: prod.example.com
                match: {spiffe_id: "spiffe://prod.example.com/ns/ml/sa/scorer"}
                grant: {scope: [b]}
            """
        let notes = try read([13: hidden]).notes
        #expect(notes.count == 1 && notes[0].text.contains("rule batch at config/daypass.yaml:10"), "\(notes)")
    }

    @Test func `a trust domain without a rule is a warning, and one that stands twice is an error`() throws {
        let twice = "  - name: prod.example.com\n    bundle: {file: ../certs/prod.json}\n  - name: prod.example.com"
        #expect(try errors([7: twice]).contains { $0.hasPrefix("9:11: expected each trust domain once") })
        let unused = try SampleConfiguration.read(
            SampleConfiguration.with([
                8: "    issuer: https://login.example.com\n"
                    + "trust_domains: [{name: prod.example.com, bundle: {file: ../certs/prod.json}}]"
            ]), files: files()
        ).notes
        #expect(
            unused.map(\.text).contains(
                "no rule is for the trust domain prod.example.com: write one, or take the trust domain out"))
    }

    private static let plain =
        "  public: {listen: \"127.0.0.1:8080\", url: \"https://daypass.example.com\", trusted_proxies: [\"127.0.0.1\"]}"

    @Test(arguments: [
        (plain, "without server.public.tls"),
        (
            "  public: {listen: \"0.0.0.0:8443\", url: \"https://a.example\", "
                + "tls: {certificate: c, key: k, client_certificates: off}}", "with client_certificates: off"
        ),
    ])
    func `a binding grant where no client can have a certificate is a warning`(server: String, why: String) throws {
        let text =
            "rule batch binds its tokens to a client certificate, and \(why) no client has one: nobody gets a token by it"
        let notes = try read([2: server]).notes
        #expect(notes.map(\.text) == [text])
        #expect(notes.first?.place.line == 13 && notes.first?.place.column == 31)
        #expect(try read([2: server, 13: "    grant: {scope: [a], bind: false}"]).notes.isEmpty)
        #expect(try read([2: server, 13: "    grant: {scope: [a]}"]).notes.isEmpty)
    }

    @Test func `a binding grant of an issuer needs a trust domain as well, for a certificate to be one of`() throws {
        let lines = [
            2: "  public: {listen: \"0.0.0.0:8443\", url: \"https://a.example\", tls: {certificate: c, key: k}}",
            13: "    grant: {scope: [a], bind: true}",
        ]
        let notes = try SampleConfiguration.read(lines).notes
        #expect(notes.count == 1 && notes[0].place.line == 13, "\(notes)")
        #expect(notes.first?.text.contains("and without a trust domain no client has one") == true)
    }

    @Test func `a trust domain of which neither kind of SVID can be presented is a warning`() throws {
        let authorities = TestTrustDomain.json(authorities: [try Self.domain.get().ca], signers: [])
        let lines = [2: Self.plain, 13: "    grant: {scope: [a]}"]
        let notes = try read(lines, bundle: authorities).notes
        #expect(notes.count == 1 && notes[0].place.line == 7 && notes[0].place.column == 11, "\(notes)")
        #expect(
            notes.first?.text.hasSuffix(
                "has no key for JWT-SVIDs, and without server.public.tls no X.509-SVID can be presented: "
                    + "no workload of prod.example.com gets a token") == true)
        #expect(try read(lines).notes.isEmpty)
        #expect(try read([13: "    grant: {scope: [a]}"], bundle: authorities).notes.isEmpty)
    }

    @Test func `a rule for an issuer cannot test a SPIFFE ID`() {
        let errors = SampleConfiguration.errors([12: "    match: {spiffe_id: \"spiffe://a/b\"}"])
        #expect(errors == ["12:13: spiffe_id stands only in a rule with trust_domain instead of issuer"])
    }

    @Test func `no issuer can be named spiffe or like a trust domain`() {
        for name in ["spiffe", "spiffe://prod.example.com", "prod.example.com"] {
            #expect(SampleConfiguration.errors([7: "  - name: \"\(name)\""]).count >= 1)
        }
    }
}
