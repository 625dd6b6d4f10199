import Broker
import BrokerTesting
import JOSE
import Testing
import VectorFiles

/// The trust-policy table of octo-sts (`Tests/Vectors/octo-sts`), as far as our rules can say the same.
@Suite struct TrustPolicyVectorTests {
    /// Its regular expressions in our terms. One that is missing here cannot be said with globs.
    private static let translations: [String: [String]] = [
        ".*@example.com": ["**@example.com"], ".*\\.net": ["**.net"],
        "^(123|456)$": ["123", "456"], "(123|456)": ["123", "456"],
        // Only ever met by a number, which no text pattern matches.
        "\\d+": ["*"],
    ]
    private static let audiences: [String: ExactString] = [
        "example.com": "example.com", "octo-sts\\.com": "octo-sts.com",
    ]

    private struct Untranslatable: Error {
        let reason: String
    }

    @Test func `every row that our rules can express has the verdict of the table`() async throws {
        let table = try JSONReader.readObject(Array(VectorFiles.data("octo-sts/trust_policy.json")))
        let rows = try #require(table["check_token"]?.array)
        var skipped: [String: Int] = [:]
        for row in rows {
            let row = try #require(row.object)
            let name = try #require(row["name"]?.string)
            let isRefused = row["wantErr"] == true
            do {
                #expect(try await verdict(of: row) == !isRefused, "\(name)")
            } catch let error as Untranslatable {
                skipped[error.reason, default: 0] += 1
            }
        }
        #expect(rows.count == 20)
        #expect(
            skipped == [
                "an issuer is one URL, never a pattern": 2, "an issuer entry has one audience": 1,
                "no glob counts digits": 1,
            ])
    }

    @Test func `a policy that compiles is a rule, one that does not is none`() throws {
        let table = try JSONReader.readObject(Array(VectorFiles.data("octo-sts/trust_policy.json")))
        let rows = try #require(table["compile"]?.array)
        var run: [ExactString] = []
        for row in rows {
            let row = try #require(row.object)
            let policy = try #require(row["tp"]?.object)
            // The rest cannot be written down: a rule has one issuer by its type, and patterns are no regular
            // expressions, so that there is none that does not compile.
            guard policy["Issuer"]?.string != nil,
                policy.members.allSatisfy({ ["Issuer", "Subject"].contains($0.name) })
            else { continue }
            let matchers = try policy["Subject"]?.string.map { [try Fixture.matcher("sub", [$0.string])] } ?? []
            let rules = try? Fixture.rules(Fixture.rule(match: matchers))
            #expect((rules == nil) == (row["wantErr"] == true))
            run.append(try #require(row["name"]?.string))
        }
        #expect(rows.count == 10)
        #expect(run == ["valid literals", "missing subject"])
    }

    private func verdict(of row: JSONObject) async throws -> Bool {
        let policy = try #require(row["tp"]?.object)
        let token = try #require(row["token"]?.object)
        guard let trusted = policy["Issuer"]?.string else {
            throw Untranslatable(reason: "an issuer is one URL, never a pattern")
        }
        let quick = try Fixture.quick
        let signer = quick.presenting(issuer: try #require(token["Issuer"]?.string).string)
        var claims = signer.claims(subject: try #require(token["Subject"]?.string).string, at: Fixture.now)
        claims = claims.replacing("aud", with: token["Audience"]).merging(row["claims"]?.object ?? [:])
        var configuration = try Fixture.configuration(quick)
        configuration.issuer = trusted
        configuration.audience = try audience(of: policy)
        let rules = try RuleSet(
            [Fixture.rule(match: matchers(of: policy))], issuers: [configuration], broker: Fixture.broker)
        let authenticator = try Fixture.authenticator(quick, configuration)
        let text = SecretText(try signer.token(claims))
        guard let subject = try? await authenticator.authenticate(text, at: Fixture.now) else { return false }
        return rules.match(subject, naming: nil).grant != nil
    }

    private func audience(of policy: JSONObject) throws -> ExactString {
        if let pattern = policy["AudiencePattern"]?.string?.string {
            guard let audience = Self.audiences[pattern] else {
                throw Untranslatable(reason: "an issuer entry has one audience")
            }
            return audience
        }
        return policy["Audience"]?.string ?? "octo-sts.dev"
    }

    private func matchers(of policy: JSONObject) throws -> [ClaimMatcher] {
        var matchers: [ClaimMatcher] = []
        if let subject = policy["Subject"]?.string {
            matchers.append(try Fixture.matcher("sub", [subject.string]))
        }
        if let pattern = policy["SubjectPattern"]?.string {
            matchers.append(try Fixture.matcher("sub", try globs(pattern)))
        }
        for member in policy["ClaimPattern"]?.object?.members ?? [] {
            let pattern = try #require(member.value.string)
            // The table compares booleans as text; ours are typed.
            matchers.append(
                try pattern == "true"
                    ? Fixture.matcher(member.name.string, .bool(true))
                    : Fixture.matcher(member.name.string, globs(pattern)))
        }
        return matchers
    }

    private func globs(_ pattern: ExactString) throws -> [String] {
        guard let globs = Self.translations[pattern.string] else {
            throw Untranslatable(reason: "no glob counts digits")
        }
        return globs
    }
}
