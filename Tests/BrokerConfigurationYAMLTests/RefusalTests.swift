import Broker
import BrokerConfigurationYAML
import Testing

private let duration = "expected a duration such as 30s, 15m, 6h or 7d"
private let origin =
    "expected a URL such as https://daypass.example.com: https (http only for a loopback host), "
    + "and nothing behind the host and port"
private let issuerURL =
    "expected the URL of an issuer, https (http only for a loopback host, with allow_private: true), "
    + "without user, query and fragment"
private let keysURL =
    "expected the URL of a JWK Set, https (http only for a loopback host, with allow_private: true), "
    + "without user and fragment"
private let address = #"expected an address such as "127.0.0.1:8080" or "[::1]:8080""#
private let own =
    "is none of the broker's own scopes, which are daypass:admin, daypass:audit, daypass:credentials, "
    + "daypass:introspect, daypass:issuers, daypass:keys, daypass:revocations, daypass:revoke, daypass:rules, daypass:sessions"
private let issuerName = "expected a name of 1 to 63 of a-z, 0-9 and -, beginning with a letter, and not spiffe"

@Suite struct `Refused configurations` {
    @Test(arguments: [
        Refusal(
            2, #"  public: {listen: "0.0.0.0:80", url: "https://a.b"}"#,
            "2:20: expected a loopback address such as 127.0.0.1:8080, since there is no server.public.tls: "
                + "a proxy on the same host has to terminate TLS"),
        Refusal(
            2, #"  public: {listen: "[::]:80", url: "https://a.b"}"#,
            "2:20: expected a loopback address such as 127.0.0.1:8080, since there is no server.public.tls: "
                + "a proxy on the same host has to terminate TLS"),
        Refusal(2, #"  public: {listen: "localhost:80", url: "https://a.b"}"#, "2:20: \(address)"),
        Refusal(2, #"  public: {listen: "127.0.0.1:65536", url: "https://a.b"}"#, "2:20: \(address)"),
        Refusal(2, #"  public: {listen: "127.0.0.1", url: "https://a.b"}"#, "2:20: \(address)"),
        Refusal(2, #"  public: {listen: "127.0.0.1:8080"}"#, #"2:11: expected the key "url" in server.public"#),
        Refusal(
            2, #"  public: "127.0.0.1:8080""#,
            "2:11: expected server.public, a mapping with the keys listen, url, trusted_proxies, tls"),
        Refusal(
            2,
            #"  public: {listen: "127.0.0.1:9464", url: "https://a.b"}"#
                + "\n  telemetry: {listen: \"127.0.0.1:9464\"}",
            "3:14: expected another address than server.public.listen"),
        Refusal(
            2, #"  public: {listen: "127.0.0.1:80", url: "https://a.b"}"# + "\n  limits: {connections: 0}",
            "3:25: expected a whole number from 1 to 1000000, without quotes"),
        Refusal(
            2, #"  public: {listen: "127.0.0.1:80", url: "https://a.b"}"# + "\n  limits: {connections: \"5\"}",
            "3:25: expected a whole number from 1 to 1000000, without quotes"),
        Refusal(
            2, #"  public: {listen: "127.0.0.1:80", url: "https://a.b"}"# + "\n  limits: {connections: 1_000}",
            "3:25: expected a whole number from 1 to 1000000, without quotes"),
        Refusal(3, "tokens: {}", #"3:9: expected the key "audiences" in tokens"#),
        Refusal(3, "tokens: {audiences: []}", "3:21: expected a list of audiences, not an empty one"),
        Refusal(3, "tokens: {audiences: a}", "3:21: expected a list of audiences"),
        Refusal(3, "tokens: {audiences: [a, \"a\"]}", "3:25: expected each value once; this one stands here twice"),
        Refusal(
            3, "tokens: {audiences: [\"a b\"]}",
            "3:22: expected an audience such as https://daypass.example.com, without spaces"),
        Refusal(3, "tokens: {audiences: [a], signing: {algorithm: RS256}}", "3:47: expected ES256 or EdDSA"),
        Refusal(3, "tokens: {audiences: [a], signing: {algorithm: es256}}", "3:47: expected ES256 or EdDSA"),
        Refusal(4, "store: {sqlite: ''}", "4:17: expected the path of a database file"),
        Refusal(
            4, "store: {sqlite: ~/daypass.db}",
            "4:17: expected the path of a database file, without ~ and without a slash at its end"),
        Refusal(4, "store:", "4:7: expected store, a mapping with the keys sqlite"),
        Refusal(5, "master_key_file: [a]", "5:18: expected the path of a file"),
        Refusal(5, "verify: {require_scope: yes}", "5:25: expected true or false, without quotes"),
        Refusal(5, "verify: {require_scope: 'true'}", "5:25: expected true or false, without quotes"),
        Refusal(5, "verify: {require_model: True}", "5:25: expected true or false, without quotes"),
        Refusal(
            5, "verify: {cache_entries: 999}", "5:25: expected a whole number from 1000 to 10000000, without quotes"),
        Refusal(
            5, "verify: {cache_entries: '1000'}", "5:25: expected a whole number from 1000 to 10000000, without quotes"),
        Refusal(
            5, "verify: {failures_per_second_per_address: 0}",
            "5:43: expected a whole number from 1 to 100000, without quotes"),
        Refusal(5, "audit: {claims: none}", "5:17: expected matched or all"),
        Refusal(5, "audit: {file: []}", "5:15: expected the path of a file"),
        Refusal(5, "audit: {archive: ''}", "5:18: expected the path of a folder"),
        Refusal(5, "audit: {retention: 23h}", "5:20: expected a duration of at least 24h"),
        Refusal(5, "audit: {retention: 3651d}", "5:20: expected a duration of at most 3650d"),
        Refusal(5, "audit: {retention: forever}", "5:20: expected a duration such as 30s, 15m, 6h or 7d"),
    ])
    func `the broker's own part names the place and what was expected`(refusal: Refusal) {
        // Some of them leave out master_key_file as well.
        #expect(SampleConfiguration.errors(refusal.lines).contains(refusal.error))
    }

    @Test(arguments: [
        "http://daypass.example.com", "https://daypass.example.com/", "https://daypass.example.com/path",
        "https://u:p@daypass.example.com", "https://daypass.example.com?q", "https://daypass.example.com#f",
        "https://daypass.example.com:", "https://daypass.example.com:0", "https://daypass.example.com:65536",
        "https://", "https://.example.com", "https://example..com", "https://example.com.", "https://127.1",
        "https://2130706433", "https://0x7f.1", "http://127.1", "https://[::1", "https://[127.0.0.1]", "https://::1",
        "ftp://a.b", "HTTPS://a.b", "daypass.example.com", "https://exa mple.com", "https://exämple.com",
        "https://a.b\\\\c", "https://-a.b", "http://localhost.example.com", "http://127.0.0.1.example.com",
        "http://[::ffff:127.0.0.1]", "http://10.0.0.1",
    ])
    func `a public URL is an origin that clients can trust`(url: String) {
        let line = "  public: {listen: \"127.0.0.1:8080\", url: \"\(url)\"}"
        #expect(SampleConfiguration.errors([2: line]) == ["2:43: \(origin)"])
        #expect(SampleConfiguration.errors([3: "tokens: {audiences: [a], issuer: \"\(url)\"}"]) == ["3:34: \(origin)"])
    }

    @Test(arguments: ["http://127.0.0.1:8080", "http://localhost", "http://[::1]:80", "https://[2001:db8::1]:8443"])
    func `plain HTTP is for loopback hosts`(url: String) throws {
        let line = "  public: {listen: \"127.0.0.1:8080\", url: \"\(url)\"}"
        #expect(try SampleConfiguration.read([2: line]).configuration.server.publicURL == url)
    }

    @Test(arguments: [
        Refusal(7, "  - audience: a", #"7:5: expected the key "name" in an issuer"#),
        Refusal(7, "  - name: Corp", "7:11: \(issuerName)"),
        Refusal(7, "  - name: spiffe", "7:11: \(issuerName)"),
        Refusal(
            7, "  - name: on",
            "7:11: \(issuerName); if \"on\" is meant as text, write it in quotes"),
        Refusal(8, "    issuer: login.example.com", "8:13: \(issuerURL)"),
        Refusal(8, "    issuer: http://login.example.com", "8:13: \(issuerURL)"),
        Refusal(8, "    issuer: http://127.0.0.1", "8:13: \(issuerURL)"),
        Refusal(8, "    issuer: http://10.0.0.1\n    allow_private: true", "8:13: \(issuerURL)"),
        Refusal(8, "    issuer: https://a.b?c", "8:13: \(issuerURL)"),
        Refusal(8, "    issuer: https://a.b#c", "8:13: \(issuerURL)"),
        Refusal(8, "    issuer: https://a@b.c", "8:13: \(issuerURL)"),
        Refusal(8, "    issuer: https://a.b/../c", "8:13: \(issuerURL)"),
        Refusal(
            8, "    issuer: https://daypass.example.com",
            "8:13: expected another issuer than tokens.issuer, which is this broker itself"),
        Refusal(
            8, "    issuer: https://a.b\n    audience: ''",
            "9:15: expected an audience such as https://daypass.example.com, without spaces"),
        Refusal(
            8, "    issuer: https://a.b\n    audience: 12",
            "9:15: expected an audience such as https://daypass.example.com, without spaces; "
                + #"if "12" is meant as text, write it in quotes"#),
        Refusal(
            8, "    issuer: https://a.b\n    algorithms: [HS256]",
            "9:18: expected one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA"),
        Refusal(
            8, "    issuer: https://a.b\n    algorithms: [none]",
            "9:18: expected one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA"),
        Refusal(
            8, "    issuer: https://a.b\n    algorithms: []",
            "9:17: expected a list of algorithms, not an empty one"),
        Refusal(8, "    issuer: https://a.b\n    max_lifetime: 15", "9:19: \(duration)"),
        Refusal(8, "    issuer: https://a.b\n    max_lifetime: 2d", "9:19: expected a duration of at most 24h"),
        Refusal(
            8, "    issuer: https://a.b\n    require_one_of: []",
            "9:21: expected a list of claims, not an empty one"),
        Refusal(
            8, "    issuer: https://a.b\n    require_one_of: [/a~2]",
            "9:22: expected the name of a claim, or a JSON Pointer such as /kubernetes.io/namespace"),
        Refusal(8, "    issuer: https://a.b\n    allow_private: no", "9:20: expected true or false, without quotes"),
        Refusal(8, "    issuer: https://a.b\n    keys: {}", "9:11: expected discovery, {url: …} or {file: …}"),
        Refusal(
            8, "    issuer: https://a.b\n    keys: {url: \"https://a.b\", file: k}",
            "9:11: expected discovery, {url: …} or {file: …}"),
        Refusal(
            8, "    issuer: https://a.b\n    keys: jwks.json",
            "9:11: expected discovery, {url: …} or {file: …}"),
        Refusal(8, "    issuer: https://a.b\n    keys: {url: \"http://a.b/keys\"}", "9:17: \(keysURL)"),
        Refusal(8, "    issuer: https://a.b\n    keys: {url: \"http://127.0.0.1/keys\"}", "9:17: \(keysURL)"),
        Refusal(8, "    issuer: https://a.b\n    keys: {url: \"file:///etc/passwd\"}", "9:17: \(keysURL)"),
        Refusal(
            8, "    issuer: https://a.b\n  - name: corp\n    issuer: https://c.d",
            "9:11: expected a name of its own: corp is the issuer at config/daypass.yaml:7:11"),
        Refusal(
            8, "    issuer: https://a.b\n  - name: two\n    issuer: https://a.b",
            "9:5: expected another audience: an entry before this one has the same issuer and audience"),
    ])
    func `an issuer names the place and what was expected`(refusal: Refusal) {
        #expect(SampleConfiguration.errors(refusal.lines).contains(refusal.error))
    }

    @Test(arguments: [
        Refusal(
            10, "  - name: a b",
            "10:11: expected a name of 1 to 128 printable ASCII characters without spaces"),
        Refusal(
            11, "    issuer: crop",
            #"11:13: expected the name of an issuer: none that is configured is named "crop"; did you mean "corp"?"#),
        Refusal(
            11, "    issuer: github",
            #"11:13: expected the name of an issuer: none that is configured is named "github""#),
        Refusal(12, "    match: {}", "12:12: expected 1 to 64 claims: a rule without one would match every token"),
        Refusal(12, "    match: [a]", "12:12: expected a mapping of claims to the values that they must have"),
        Refusal(12, "    match: {groups: []}", "12:21: expected a list of values, not an empty one"),
        Refusal(
            12, "    match: {groups: {a: b}}",
            "12:21: expected text, true, false, a number, or a list of these"),
        Refusal(
            12, "    match: {groups: [[a]]}",
            "12:22: expected text, true, false, a number, or a list of these"),
        Refusal(12, "    match: {groups: ''}", "12:21: a pattern must not be empty"),
        Refusal(12, "    match: {groups: 'a***'}", "12:21: a pattern has at most two stars in a row"),
        Refusal(
            12, #"    match: {groups: 'a\b'}"#,
            #"12:21: in a pattern a backslash stands only before * (\*) or another backslash (\\)"#),
        Refusal(
            12, "    match: {'': a}",
            "12:13: expected the name of a claim, or a JSON Pointer such as /kubernetes.io/namespace"),
        Refusal(
            12, "    match: {/a~b: a}",
            "12:13: expected the name of a claim, or a JSON Pointer such as /kubernetes.io/namespace"),
        Refusal(13, "    grant: {ttl: 15m}", #"13:12: expected the key "scope" in a grant"#),
        Refusal(13, "    grant: {scope: anthropic:messages}", "13:20: expected a list of scopes"),
        Refusal(
            13, "    grant: {scope: ['a b']}",
            "13:21: expected a scope such as anthropic:messages, of 1 to 128 characters without spaces and quotes"),
        Refusal(13, "    grant: {scope: [a, a]}", "13:24: expected each value once; this one stands here twice"),
        Refusal(13, "    grant: {scope: [a], ttl: 25h}", "13:30: expected a duration of at most 24h"),
        Refusal(
            13, "    grant: {scope: [a], max_session: 5m}",
            "13:38: expected a duration of at least the grant's ttl, which is 15m"),
        Refusal(13, "    grant: {scope: [a], max_session: 2d}", "13:38: expected a duration of at most 24h"),
        Refusal(13, "    grant: {scope: [a], models: []}", "13:33: expected a list of model names, not an empty one"),
        Refusal(13, "    grant: {scope: [a], models: ['***']}", "13:34: a pattern has at most two stars in a row"),
        Refusal(
            13, "    grant: {scope: [a], audiences: [third]}",
            #"13:37: expected one of tokens.audiences, which does not have "third""#),
        Refusal(
            13, "    grant: {scope: [daypass:admin, anthropic:messages]}",
            "13:20: scopes that start with daypass: stand in a grant of their own: their tokens are for the broker "
                + "itself, and no gateway takes one"),
        Refusal(
            13, "    grant: {scope: [daypass:amdin]}",
            "13:21: \"daypass:amdin\" \(own); did you mean \"daypass:admin\"?"),
        Refusal(
            13, "    grant: {scope: [a, Daypass:admin]}",
            "13:24: \"Daypass:admin\" \(own); did you mean \"daypass:admin\"?"),
        Refusal(13, "    grant: {scope: ['daypass:']}", "13:21: \"daypass:\" \(own)"),
        Refusal(
            13, "    grant: {scope: [daypass:admin], max_session: 1h}",
            "13:50: max_session does not stand beside scopes that start with daypass: their tokens are not renewed"),
        Refusal(
            13, "    grant: {scope: [daypass:admin], models: [a]}",
            "13:45: models does not stand beside scopes that start with daypass: their tokens open no model"),
        Refusal(
            13, "    grant: {scope: [daypass:admin], audiences: [other]}",
            "13:48: audiences does not stand beside scopes that start with daypass: their tokens are for the broker itself"
        ),
        Refusal(
            3, "tokens: {audiences: [other, \"https://daypass.example.com\"]}",
            "3:29: expected a gateway's audience: \"https://daypass.example.com\" is tokens.issuer, the broker itself"),
        Refusal(
            3, "tokens: {audiences: [\"https://i.example.com\"], issuer: \"https://i.example.com\"}",
            "3:22: expected a gateway's audience: \"https://i.example.com\" is tokens.issuer, the broker itself"),
        Refusal(
            13, "    grant: {scope: [a]}\n  - {name: team, issuer: corp, match: {a: b}, grant: {scope: [a]}}",
            "14:12: two rules are named team; the other is at config/daypass.yaml:10:11"),
    ])
    func `a rule names the place and what was expected`(refusal: Refusal) {
        #expect(SampleConfiguration.errors(refusal.lines) == [refusal.error])
    }

    @Test(arguments: [
        ("127.0.0.0/8/8", ""), ("10.0.0.0/33", ""), ("10.0.0.0/08", ""), ("10.0.0.0/", ""), ("10/8", ""), ("[::1]", ""),
        ("localhost", ""), ("10.0.0.1:80", ""), ("10.0.0.0/-1", ""), ("fe80::1%eth0", ""),
        ("10.0.0.1/8", ", which has no bits set behind its prefix"),
        ("2001:db8::1/32", ", which has no bits set behind its prefix"),
        ("::ffff:10.0.0.0/104", "; write the IPv4 address itself"),
        ("0.0.0.0/0", "; a prefix of 0 bits would let everybody name any address as his"),
        ("::/0", "; a prefix of 0 bits would let everybody name any address as his"),
    ])
    func `a trusted proxy that is not exactly a block of addresses is refused`(written: String, reason: String) {
        let line = "  public: {listen: \"127.0.0.1:80\", url: \"https://a.b\", trusted_proxies: [\"\(written)\"]}"
        let expected = #"an address or a block such as "127.0.0.1", "10.2.0.0/16" or "2001:db8::/32""#
        #expect(SampleConfiguration.errors([2: line]) == ["2:74: expected \(expected)\(reason)"])
    }

    @Test(arguments: ["0", "1000001", "-1", "\"20\"", "2.5", "[20]"])
    func `the rate of an address is a whole number of exchanges`(written: String) {
        let lines =
            #"  public: {listen: "127.0.0.1:80", url: "https://a.b"}"#
            + "\n  limits: {exchanges_per_second_per_address: \(written)}"
        #expect(
            SampleConfiguration.errors([2: lines]) == [
                "3:46: expected a whole number from 1 to 1000000, without quotes"
            ])
    }

    @Test(arguments: ["15", "0s", "15M", "1.5h", "-5m", "15 m", "1_5m", "'15m '", "m", "12345678s", "1w", "~", "[15m]"])
    func `durations of another form`(written: String) {
        let line = "    grant: {scope: [a], ttl: \(written)}"
        #expect(SampleConfiguration.errors([13: line]) == ["13:30: \(duration)"])
    }

    @Test(arguments: [
        ("{rotate_every: 59m}", "3:50: expected a duration of at least 1h"),
        ("{rotate_every: 366d}", "3:50: expected a duration of at most 365d"),
        ("{rotate_every: 7}", "3:50: \(duration)"),
        ("{publish_lead: 599s}", "3:50: expected a duration of at least 10m"),
        ("{publish_lead: 8d}", "3:50: expected a duration of at most 7d"),
        ("{publish_lead: 7d}", "3:50: expected a duration of less than rotate_every, which is 7d"),
        ("{rotate_every: 1h}", "3:50: expected a duration of more than publish_lead, which is 1h"),
        ("{rotate_every: 2h, publish_lead: 2h}", "3:68: expected a duration of less than rotate_every, which is 2h"),
        ("{rotate_evry: 2h}", #"3:36: unknown key "rotate_evry"; did you mean "rotate_every"?"#),
    ])
    func `a rotation that gateways could not follow`(written: String, error: String) {
        #expect(SampleConfiguration.errors([3: "tokens: {audiences: [a], signing: \(written)}"]) == [error])
    }

    @Test(arguments: [
        ("store: {postgresql: 'host=db password=secret'}", 9),
        ("server: {telemetry: {tls: {}}}", 22),
        ("rules: [{grant: {limits: {}}}]", 18),
    ])
    func `what later versions bring is never silently ignored`(yaml: String, column: Int) {
        let errors = SampleConfiguration.errors(Array(yaml.utf8))
        #expect(
            errors.contains { $0.hasPrefix("1:\(column): ") && $0.hasSuffix("is not supported by this version") },
            "\(errors)")
        #expect(!errors.joined().contains("secret"))
    }

    @Test(arguments: [
        ("isuers: []", #"1:1: unknown key "isuers"; did you mean "issuers"?"#),
        ("tokens: {audeinces: [a]}", #"1:10: unknown key "audeinces"; did you mean "audiences"?"#),
        ("Rules: []", #"1:1: unknown key "Rules"; did you mean "rules"?"#),
        ("rules: [{nmae: a}]", #"1:10: unknown key "nmae"; did you mean "name"?"#),
        ("rules: [{grant: {scopes: [a]}}]", #"1:18: unknown key "scopes"; did you mean "scope"?"#),
        ("issuers: [{audiences: a}]", #"1:12: unknown key "audiences"; did you mean "audience"?"#),
        ("store: {redis: a}", #"1:9: unknown key "redis"; expected one of sqlite"#),
        ("rules: [{name\u{301}: a}]", "1:10: unknown key \"name\u{301}\"; did you mean \"name\"?"),
        (
            "\"a\\e[31m\": 1",
            "1:1: unknown key \"a\\u{1B}[31m\"; expected one of server, tokens, verify, store, audit, "
                + "master_key_file, include, issuers, trust_domains, rules"
        ),
    ])
    func `an unknown key is an error that suggests the nearest known one`(yaml: String, error: String) {
        #expect(SampleConfiguration.errors(Array(yaml.utf8)).contains(error))
    }

    @Test func `all errors are found at once, in the order of their lines`() {
        let errors = SampleConfiguration.errors([
            3: "tokens: {audiences: []}", 5: "master_key_file:", 7: "  - name: CORP", 11: "    issuer: CORP",
            13: "    grant: {scope: [a], ttl: 1w, limits: {}}",
        ])
        #expect(
            errors == [
                "3:21: expected a list of audiences, not an empty one",
                "5:17: expected the path of a file",
                "7:11: \(issuerName)",
                #"11:13: expected the name of an issuer: none that is configured is named "CORP""#,
                "13:30: \(duration)",
                #"13:34: "limits" is not supported by this version"#,
            ])
    }

    @Test func `more than 50 errors are counted`() {
        let rules = (0..<80).map { "  - {name: r\($0), wrong: 1}" }.joined(separator: "\n")
        let errors = SampleConfiguration.errors(SampleConfiguration.with([10: rules, 11: "", 12: "", 13: ""]))
        #expect(errors.count == 51)
        #expect(errors.last == "and 270 more")
    }
}
