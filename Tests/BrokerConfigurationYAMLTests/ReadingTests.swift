import Broker
import BrokerConfigurationYAML
import JOSE
import Testing

@Suite struct `Reading a configuration` {
    @Test func `the sample is read with its defaults`() throws {
        let (configuration, notes) = try SampleConfiguration.read()
        #expect(notes.isEmpty)
        #expect(configuration.server.publicListener == ListenAddress(host: "127.0.0.1", port: 8080))
        #expect(configuration.server.publicURL == "https://daypass.example.com")
        #expect(configuration.server.telemetryListener == ListenAddress(host: "127.0.0.1", port: 9464))
        #expect(configuration.server.limits.connections == 10_000)
        #expect(configuration.server.limits.exchangesPerSecondPerAddress == 20)
        #expect(configuration.server.trustedProxies.map(\.description) == ["127.0.0.1"])
        #expect(configuration.tokens.issuer == "https://daypass.example.com")
        #expect(configuration.tokens.audiences == ["https://gateway.example.com", "other"])
        #expect(configuration.tokens.signing.algorithm == .ES256)
        #expect(configuration.tokens.signing.rotateEvery == .seconds(7 * 86_400))
        #expect(configuration.tokens.signing.publishLead == .seconds(3600))
        #expect(configuration.verify.requireScope)
        #expect(!configuration.verify.requireModel)
        #expect(configuration.audit.claims == .matched)
        #expect(configuration.audit.retention == .seconds(400 * 86_400))
        #expect(configuration.audit.file == nil && configuration.audit.archive == nil)
        #expect(configuration.masterKeyFile == "/config/data/master.key")
        guard case .sqlite(let path) = configuration.store else { return }
        #expect(path == "/config/data/daypass.db")

        let issuer = try #require(configuration.issuers.first)
        #expect(issuer.name.description == "corp")
        #expect(issuer.audience == "https://daypass.example.com", "our own URL by default")
        #expect(issuer.algorithms == [.RS256])
        #expect(issuer.maximumLifetime == .seconds(3600))
        #expect(issuer.requiredClaims.isEmpty)
        #expect(!issuer.allowsPrivateAddresses)
        guard case .discovery = issuer.keys else {
            Issue.record("keys are not found by discovery")
            return
        }

        let rule = try #require(configuration.rules.rules.first)
        #expect(rule.terms.audiences == ["https://gateway.example.com"], "the first by default")
        #expect(rule.terms.maximumSession == .seconds(900), "the ttl by default")
        #expect(rule.terms.models == nil)
    }

    @Test func `every supported key arrives where it belongs`() throws {
        let yaml = """
            ---
            server:
              public: {listen: "[::1]:0", url: "http://localhost:8080", trusted_proxies: [127.0.0.1, "fd00::/8"]}
              telemetry: {listen: "0.0.0.0:9000"}
              admin: {socket: data/admin.sock}
              limits: {connections: 7, exchanges_per_second_per_address: 50}
            tokens: {issuer: "https://tokens.example.com", audiences: [a, b], signing: {algorithm: EdDSA, rotate_every: 1h, publish_lead: 10m}}
            verify: {require_scope: false, require_model: true, cache_entries: 1000000, failures_per_second_per_address: 7}
            store: {sqlite: /srv/daypass.db}
            audit: {claims: all, retention: 90d, file: log/audit.jsonl, archive: archive}
            master_key_file: "../keys/master.key"
            include: []
            issuers:
              - name: local
                issuer: http://127.0.0.1:9000/realm
                audience: us
                keys: {url: "http://127.0.0.1:9000/keys?v=1"}
                algorithms: [ES256, EdDSA]
                max_lifetime: 1d
                require_one_of: [sub, /kubernetes.io/namespace]
                allow_private: true
            rules:
              - name: r
                issuer: local
                match: {sub: "a*b", /kubernetes.io/namespace: [ml, "true"], admin: true, level: -3.5}
                grant: {scope: [x, z], ttl: 30s, max_session: 6h, models: ["claude-*"], audiences: [b, a]}
            ...
            """
        let (configuration, notes) = try SampleConfiguration.read(Array(yaml.utf8))
        #expect(
            notes.map(\.description) == [
                "config/daypass.yaml:26:33: clients keep what a helper prints for 5 minutes, "
                    + "so a token of 30s expires in their hands: write at least 6m"
            ])
        #expect(configuration.server.publicListener == ListenAddress(host: "::1", port: 0))
        #expect(configuration.server.telemetryListener.host == "0.0.0.0")
        #expect(configuration.server.administration?.socketPath == "/config/data/admin.sock")
        #expect(configuration.server.limits.connections == 7)
        #expect(configuration.server.limits.exchangesPerSecondPerAddress == 50)
        #expect(configuration.server.trustedProxies.map(\.description) == ["127.0.0.1", "fd00::/8"])
        #expect(configuration.tokens.issuer == "https://tokens.example.com")
        #expect(configuration.tokens.signing.algorithm == .EdDSA)
        #expect(configuration.tokens.signing.rotateEvery == .seconds(3600))
        #expect(configuration.tokens.signing.publishLead == .seconds(600))
        #expect(!configuration.verify.requireScope)
        #expect(configuration.verify.requireModel)
        #expect(configuration.verify.cacheEntries == 1_000_000)
        #expect(configuration.verify.failuresPerSecondPerAddress == 7)
        #expect(configuration.audit.claims == .all)
        #expect(configuration.audit.retention == .seconds(90 * 86_400))
        #expect(configuration.audit.file?.hasSuffix("/log/audit.jsonl") == true)
        #expect(configuration.auditArchive.hasSuffix("/archive"))
        #expect(configuration.masterKeyFile == "/config/../keys/master.key")
        guard case .sqlite(path: "/srv/daypass.db") = configuration.store else {
            Issue.record("an absolute path is not kept")
            return
        }
        let issuer = try #require(configuration.issuers.first)
        #expect(issuer.algorithms == [.ES256, .EdDSA])
        #expect(issuer.maximumLifetime == .seconds(86_400))
        #expect(issuer.requiredClaims == ["sub", "/kubernetes.io/namespace"])
        #expect(issuer.allowsPrivateAddresses)
        guard case .url("http://127.0.0.1:9000/keys?v=1") = issuer.keys else {
            Issue.record("the URL of the keys is not kept")
            return
        }
        let rule = try #require(configuration.rules.rules.first)
        #expect(rule.matchers.map(\.claim.text) == ["sub", "/kubernetes.io/namespace", "admin", "level"])
        #expect(rule.matchers[1].anyOf == [.text(try Glob(parsing: "ml")), .text(try Glob(parsing: "true"))])
        #expect(rule.matchers[2].anyOf == [.bool(true)])
        #expect(rule.matchers[3].anyOf == [.number(-3.5)])
        #expect(rule.terms.scope.map(\.description) == ["x", "z"])
        #expect(rule.terms.timeToLive == .seconds(30))
        #expect(rule.terms.maximumSession == .seconds(21_600))
        #expect(rule.terms.models?.map(\.pattern) == ["claude-*"])
        #expect(rule.terms.audiences == ["b", "a"])
    }

    @Test func `a grant without a ttl lives for 15 minutes`() throws {
        let rules = try SampleConfiguration.read([13: "    grant: {scope: [s]}"]).configuration.rules.rules
        #expect(rules.first?.terms.timeToLive == .seconds(900))
    }

    @Test func `a file of no more than bytes can be read`() throws {
        let reading = try ConfigurationReader.read(yaml: SampleConfiguration.with(), name: "input.yaml")
        #expect(reading.configuration.issuers.count == 1)
        #expect(throws: ConfigurationErrors.self) { try ConfigurationReader.read(yaml: [], name: "input.yaml") }
    }

    @Test(arguments: ["15m": 900, "30s": 30, "6h": 21_600, "1d": 86_400, "1s": 1])
    func `durations have a unit`(written: String, seconds: Int) throws {
        let line = "    grant: {scope: [s], ttl: \(written)}"
        let rules = try SampleConfiguration.read([13: line]).configuration.rules.rules
        #expect(rules.first?.terms.timeToLive == .seconds(seconds))
    }
}
