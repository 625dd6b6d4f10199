package import Broker
package import FoundationEssentials
package import JOSE

/// What tokens of a well-known provider look like: names, types and lives of their claims as its documentation shows
/// them, with invented values.
package struct ProviderShape: Sendable, CustomStringConvertible {
    /// A name for the issuer, as the shipped configuration has it.
    package let name: String
    /// `iss`
    package let issuer: String
    /// Between `iat` and `exp`.
    package let lifetime: Duration
    /// What an issuer entry for it allows.
    package let maximumLifetime: Duration
    /// Of which a rule has to pin one, where the issuer is shared by strangers.
    package let requiredClaims: [ExactString]
    /// Whether `aud` is an array of one.
    package let listsAudiences: Bool
    /// `nbf` relative to `iat`, where there is one.
    package let notBefore: Duration?
    /// The header's `typ`, where there is one.
    package let type: ExactString?
    /// Everything but `iss`, `aud`, `iat`, `exp` and `nbf`.
    package let claims: JSONObject

    package var description: String { name }

    /// All claims of a token issued at `now` for `audience`.
    package func claims(audience: String, at now: Date) -> JSONObject {
        let issuedAt = now.timeIntervalSince1970.rounded(.down)
        let audience = JSONValue.string(ExactString(audience))
        var all: JSONObject = [
            "iss": .string(ExactString(issuer)), "aud": listsAudiences ? .array([audience]) : audience,
            "iat": .number(issuedAt), "exp": .number(issuedAt + lifetime.seconds),
        ]
        if let notBefore { _ = all.append("nbf", .number(issuedAt + notBefore.seconds)) }
        return all.merging(claims)
    }

    /// A token of `issuer`, which signs in the provider's name, with some claims replaced.
    package func token(
        signedBy signer: TestIssuer, audience: String, at now: Date, replacing changes: JSONObject = [:]
    ) throws -> String {
        let header = signer.header.replacing("typ", with: type.map { .string($0) })
        let claims = claims(audience: audience, at: now).merging(changes)
        return try signer.token(rawHeader: header.encoded(), rawPayload: claims.encoded())
    }

    /// An issuer entry for the provider.
    package func configuration(
        audience: String, keys: IssuerConfiguration.KeySource = .discovery
    ) -> IssuerConfiguration {
        guard let name = IssuerName(parsing: name) else { preconditionFailure("\(name) is no issuer name") }
        return IssuerConfiguration(
            name: name, issuer: ExactString(issuer), audience: ExactString(audience), keys: keys,
            algorithms: [.RS256], maximumLifetime: maximumLifetime, requiredClaims: requiredClaims)
    }
}

extension ProviderShape {
    package static let all = [gitHubActions, gitLab, buildkite, circleCI, kubernetes, okta]

    /// Numbers are strings, and `nbf` lies five minutes in the past.
    package static let gitHubActions = ProviderShape(
        name: "github", issuer: "https://token.actions.githubusercontent.com", lifetime: .seconds(300),
        maximumLifetime: .seconds(900), requiredClaims: ["repository_id", "repository_owner_id"],
        listsAudiences: false, notBefore: .seconds(-300), type: "JWT",
        claims: [
            "jti": "6c0e8d4e-2a91-4a7e-9f0b-5a4d7f2f3a10",
            "sub": "repo:acme@987654/app@123456:ref:refs/heads/main",
            "ref": "refs/heads/main", "sha": "0f8b3c1d5e7a9b2c4d6e8f0a1b3c5d7e9f1a3b5c",
            "repository": "acme/app", "repository_owner": "acme", "repository_id": "123456",
            "repository_owner_id": "987654", "repository_visibility": "private",
            "run_id": "17171717171", "run_number": "42", "run_attempt": "1",
            "actor": "octavia", "actor_id": "5550123", "workflow": "Deploy",
            "workflow_ref": "acme/app/.github/workflows/deploy.yml@refs/heads/main",
            "workflow_sha": "0f8b3c1d5e7a9b2c4d6e8f0a1b3c5d7e9f1a3b5c",
            "job_workflow_ref": "acme/app/.github/workflows/deploy.yml@refs/heads/main",
            "job_workflow_sha": "0f8b3c1d5e7a9b2c4d6e8f0a1b3c5d7e9f1a3b5c",
            "head_ref": "", "base_ref": "", "event_name": "push", "ref_type": "branch", "ref_protected": "true",
            "runner_environment": "github-hosted", "environment": "production", "enterprise": "acme-inc",
            "enterprise_id": "321",
        ])

    /// Ids are strings but for `runner_id`; `user_identities` and `groups_direct` are arrays.
    package static let gitLab = ProviderShape(
        name: "gitlab", issuer: "https://gitlab.com", lifetime: .seconds(3600),
        maximumLifetime: .seconds(86400), requiredClaims: ["project_id", "namespace_id"],
        listsAudiences: false, notBefore: .seconds(-5), type: "JWT",
        claims: [
            "namespace_id": "72", "namespace_path": "acme", "project_id": "20", "project_path": "acme/app",
            "user_id": "1", "user_login": "octavia", "user_email": "octavia@example.com",
            "user_access_level": "developer",
            "user_identities": [["provider": "saml", "extern_uid": "octavia@example.com"]],
            "pipeline_id": "574", "pipeline_source": "push", "job_id": "302", "job_source": "pipeline",
            "ref": "main", "ref_type": "branch", "ref_path": "refs/heads/main", "ref_protected": "true",
            "groups_direct": ["acme/platform", "acme/ml"],
            "environment": "production", "environment_protected": "true", "deployment_tier": "production",
            "environment_action": "start", "runner_id": 1, "runner_environment": "gitlab-hosted",
            "sha": "714a629c0b401fdce83e847fc9589983fc6f46bc", "project_visibility": "private",
            "job_project_id": "20", "job_project_path": "acme/app", "job_namespace_id": "72",
            "job_namespace_path": "acme", "ci_config_ref_uri": "gitlab.com/acme/app//.gitlab-ci.yml@refs/heads/main",
            "ci_config_sha": "714a629c0b401fdce83e847fc9589983fc6f46bc",
            "jti": "235b3a54-b797-45c7-ae9a-f72d7bc6ef5b",
            "sub": "project_path:acme/app:ref_type:branch:ref:main",
        ])

    /// No `jti`; `build_number` is a number.
    package static let buildkite = ProviderShape(
        name: "buildkite", issuer: "https://agent.buildkite.com", lifetime: .seconds(300),
        maximumLifetime: .seconds(900), requiredClaims: ["organization_id"],
        listsAudiences: false, notBefore: .zero, type: "JWT",
        claims: [
            "sub":
                "organization:acme:pipeline:app:ref:refs/heads/main:commit:9f3182061f1e2cca4702c368cbc039b7dc9d4485:step:build",
            "organization_id": "0184990a-4777-4a3c-9f0d-2f6ad1f0a001", "organization_slug": "acme",
            "pipeline_id": "0184990a-4777-4a3c-9f0d-2f6ad1f0a002", "pipeline_slug": "app",
            "build_number": 1, "build_branch": "main", "build_tag": "",
            "build_commit": "9f3182061f1e2cca4702c368cbc039b7dc9d4485", "build_source": "webhook",
            "step_key": "build", "job_id": "0184990a-477b-4fa8-9968-496074483cee",
            "agent_id": "0184990a-4782-42b5-afc1-16715b10b8ff",
            "cluster_id": "0184990a-4777-4a3c-9f0d-2f6ad1f0a003", "queue_key": "default",
            "runner_environment": "self-hosted",
        ])

    /// Names of claims with dots and slashes, and a long `sub`.
    package static let circleCI = ProviderShape(
        name: "circleci", issuer: "https://oidc.circleci.com/org/5f0b4d2e-8a0e-4d53-a0c1-53a1f3a0b001",
        lifetime: .seconds(3600), maximumLifetime: .seconds(3600), requiredClaims: [],
        listsAudiences: false, notBefore: nil, type: nil,
        claims: [
            "sub":
                "org/5f0b4d2e-8a0e-4d53-a0c1-53a1f3a0b001/project/c1d2e3f4-8a0e-4d53-a0c1-53a1f3a0b002/user/7a7b7c7d-8a0e-4d53-a0c1-53a1f3a0b003/vcs-origin/github.com/acme/app/vcs-ref/refs/heads/main",
            "oidc.circleci.com/org-id": "5f0b4d2e-8a0e-4d53-a0c1-53a1f3a0b001",
            "oidc.circleci.com/project-id": "c1d2e3f4-8a0e-4d53-a0c1-53a1f3a0b002",
            "oidc.circleci.com/context-ids": ["3d3e3f30-8a0e-4d53-a0c1-53a1f3a0b004"],
            "oidc.circleci.com/pipeline-id": "3d3e3f30-8a0e-4d53-a0c1-53a1f3a0b005",
            "oidc.circleci.com/workflow-id": "3d3e3f30-8a0e-4d53-a0c1-53a1f3a0b006",
            "oidc.circleci.com/job-id": "3d3e3f30-8a0e-4d53-a0c1-53a1f3a0b007",
            "oidc.circleci.com/ssh-rerun": false,
            "oidc.circleci.com/vcs-origin": "github.com/acme/app",
            "oidc.circleci.com/vcs-ref": "refs/heads/main",
        ])

    /// `aud` is an array; what identifies the pod is nested under a name with a dot.
    package static let kubernetes = ProviderShape(
        name: "cluster-a", issuer: "https://kubernetes.default.svc.cluster.local", lifetime: .seconds(3607),
        maximumLifetime: .seconds(7200), requiredClaims: [], listsAudiences: true, notBefore: .zero, type: nil,
        claims: [
            "jti": "aed34954-b33a-4142-b1ec-389d6bbb4936", "sub": "system:serviceaccount:ml:scorer",
            "kubernetes.io": [
                "namespace": "ml",
                "node": ["name": "node-7", "uid": "646e7c5e-32d6-4d42-9dbd-e504e6cbe6b1"],
                "pod": ["name": "scorer-5d4f8c-x2x9z", "uid": "5e0bd49b-f040-43b0-99b7-22765a53f7f3"],
                "serviceaccount": ["name": "scorer", "uid": "14ee3fa4-a7e2-420f-9f9a-dbc4507c3798"],
                "warnafter": 1_800_003_607,
            ],
        ])

    /// A person's ID token: `groups` is an array, `email_verified` a boolean.
    package static let okta = ProviderShape(
        name: "corp-sso", issuer: "https://acme.okta.com/oauth2/default", lifetime: .seconds(3600),
        maximumLifetime: .seconds(3600), requiredClaims: [], listsAudiences: false, notBefore: nil, type: nil,
        claims: [
            "ver": 1, "jti": "ID.4eAWJOCMB3SX8XewDfVR", "sub": "00uid4BxXw6I6TV4m0g3", "name": "Octavia Example",
            "email": "octavia@example.com", "email_verified": true, "preferred_username": "octavia@example.com",
            "amr": ["pwd", "mfa"], "idp": "00ok1u7AsAkrwdZL3z0g3", "auth_time": 1_799_999_900,
            "at_hash": "preview_at_hash", "nonce": "n-0S6_WzA2Mj", "groups": ["everyone", "platform-admins"],
        ])
}
