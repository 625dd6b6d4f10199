import Broker
import BrokerTesting
import Foundation
import JOSE
import Testing

/// Tokens as the well-known providers issue them, against rules as the documentation shows them.
@Suite struct ProviderTokenTests {
    private func authenticate(_ shape: ProviderShape, replacing changes: JSONObject = [:]) async throws
        -> VerifiedSubject
    {
        let issuer = try Fixture.issuer.presenting(issuer: shape.issuer)
        let configuration = shape.configuration(audience: Fixture.audience)
        let token = try shape.token(
            signedBy: issuer, audience: Fixture.audience, at: Fixture.now, replacing: changes)
        return try await Fixture.authenticator(issuer, configuration).authenticate(SecretText(token), at: Fixture.now)
    }

    private func isGranted(
        _ shape: ProviderShape, _ matchers: [ClaimMatcher], replacing changes: JSONObject = [:]
    ) async throws -> Bool {
        let rules = try RuleSet(
            [Fixture.rule(issuer: shape.name, match: matchers)],
            issuers: [shape.configuration(audience: Fixture.audience)], broker: Fixture.broker)
        return rules.match(try await authenticate(shape, replacing: changes), naming: nil).grant != nil
    }

    @Test(arguments: ProviderShape.all)
    func `a token of a well-known provider authenticates as its subject`(shape: ProviderShape) async throws {
        let subject = try await authenticate(shape)
        let claimed = try #require(shape.claims["sub"]?.string)
        #expect(subject.identity == ExactString("\(shape.name):\(claimed)"))
        #expect(subject.expiry.timeIntervalSince(Fixture.now) == shape.lifetime.seconds)
    }

    @Test(arguments: ProviderShape.all)
    func `it does not outlive what its issuer entry allows`(shape: ProviderShape) async throws {
        let expiry = JSONValue.number(Fixture.now.timeIntervalSince1970 + shape.maximumLifetime.seconds + 1)
        await #expect(throws: AuthenticationFailure.self) {
            try await authenticate(shape, replacing: ["exp": expiry])
        }
    }

    @Test func `GitHub's token matches the rule of the design, and no other branch, event or repository does`()
        async throws
    {
        let rule = [
            try Fixture.matcher("repository_id", ["123456"]), try Fixture.matcher("ref", ["refs/heads/main"]),
            try Fixture.matcher("job_workflow_ref", ["acme/app/.github/workflows/*.yml@refs/heads/main"]),
            try Fixture.matcher("event_name", ["push", "workflow_dispatch"]),
        ]
        #expect(try await isGranted(.gitHubActions, rule))
        #expect(try await isGranted(.gitHubActions, rule, replacing: ["event_name": "workflow_dispatch"]))
        for change: JSONObject in [
            ["ref": "refs/heads/dev"], ["ref": "refs/heads/main/x"], ["repository_id": "1234567"],
            ["repository_id": 123456],
            ["event_name": "pull_request"], ["job_workflow_ref": "acme/app/.github/workflows/ci.yml@refs/heads/dev"],
            ["job_workflow_ref": "evil/app/.github/workflows/ci.yml@refs/heads/main"],
            ["job_workflow_ref": "acme/app/.github/workflows/x/ci.yml@refs/heads/main"],
        ] {
            #expect(try await !isGranted(.gitHubActions, rule, replacing: change))
        }
    }

    @Test func `GitHub's protected flag is text`() async throws {
        let pinned = try Fixture.matcher("repository_owner_id", ["987654"])
        #expect(try await isGranted(.gitHubActions, [pinned, try Fixture.matcher("ref_protected", ["true"])]))
        #expect(try await !isGranted(.gitHubActions, [pinned, try Fixture.matcher("ref_protected", .bool(true))]))
    }

    @Test func `GitLab's token matches by project, and a fork's merge request does not`() async throws {
        let rule = [
            try Fixture.matcher("project_id", ["20"]), try Fixture.matcher("job_project_id", ["20"]),
            try Fixture.matcher("ref_protected", ["true"]), try Fixture.matcher("groups_direct", ["acme/platform"]),
        ]
        #expect(try await isGranted(.gitLab, rule))
        for change: JSONObject in [
            ["project_id": "21"], ["job_project_id": "21"], ["ref_protected": "false"], ["groups_direct": ["acme"]],
        ] {
            #expect(try await !isGranted(.gitLab, rule, replacing: change))
        }
    }

    @Test func `Buildkite's token matches within its organisation only`() async throws {
        let rule = [
            try Fixture.matcher("organization_id", ["0184990a-4777-4a3c-9f0d-2f6ad1f0a001"]),
            try Fixture.matcher("pipeline_slug", ["app"]), try Fixture.matcher("build_number", .number(1)),
        ]
        #expect(try await isGranted(.buildkite, rule))
        #expect(try await !isGranted(.buildkite, rule, replacing: ["organization_id": "other"]))
    }

    @Test func `CircleCI's names with dots and slashes are taken to the letter, and a re-run over SSH is refused`()
        async throws
    {
        let rule = [
            try Fixture.matcher("oidc.circleci.com/project-id", ["c1d2e3f4-8a0e-4d53-a0c1-53a1f3a0b002"]),
            try Fixture.matcher("oidc.circleci.com/ssh-rerun", .bool(false)),
            try Fixture.matcher("/oidc.circleci.com~1context-ids/0", ["3d3e3f30-**"]),
        ]
        #expect(try await isGranted(.circleCI, rule))
        #expect(try await !isGranted(.circleCI, rule, replacing: ["oidc.circleci.com/ssh-rerun": true]))
        #expect(try await !isGranted(.circleCI, rule, replacing: ["oidc.circleci.com/project-id": "other"]))
    }

    @Test func `Kubernetes' token matches by pointer into its nested object`() async throws {
        let rule = [
            try Fixture.matcher("sub", ["system:serviceaccount:ml:scorer"]),
            try Fixture.matcher("/kubernetes.io/namespace", ["ml"]),
            try Fixture.matcher("/kubernetes.io/serviceaccount/name", ["scorer"]),
        ]
        #expect(try await isGranted(.kubernetes, rule))
        #expect(try await !isGranted(.kubernetes, rule, replacing: ["kubernetes.io": ["namespace": "other"]]))
        let every = [try Fixture.matcher("sub", ["system:serviceaccount:ml:*"])]
        #expect(try await isGranted(.kubernetes, every))
        #expect(try await !isGranted(.kubernetes, every, replacing: ["sub": "system:serviceaccount:ml:a:b"]))
    }

    @Test func `a person's groups are contained, and a verified address is a boolean`() async throws {
        let rule = [
            try Fixture.matcher("groups", ["platform-admins"]), try Fixture.matcher("email_verified", .bool(true)),
        ]
        #expect(try await isGranted(.okta, rule))
        #expect(try await isGranted(.okta, rule, replacing: ["groups": "platform-admins"]))
        for change: JSONObject in [
            ["groups": ["platform"]], ["groups": "everyone,platform-admins"], ["email_verified": "true"],
            ["email_verified": false], ["groups": []],
        ] {
            #expect(try await !isGranted(.okta, rule, replacing: change))
        }
    }
}
