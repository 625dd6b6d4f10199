internal import Broker
internal import JOSE

extension KnownIssuer {
    /// By the form of `iss`: also GitHub Enterprise and GitLab on a host of one's own that is called gitlab.
    static func of(_ issuer: ExactString) -> KnownIssuer? {
        let text = issuer.string
        switch text {
        case "https://agent.buildkite.com": return buildkite
        case "https://accounts.google.com": return google
        default: break
        }
        if text.hasPrefix("https://oidc.circleci.com/org/") { return circleCI }
        guard let address = WebAddress(parsing: text) else { return nil }
        if address.host == "token.actions.githubusercontent.com" || address.path == "/_services/token" { return gitHub }
        return address.host == "gitlab.com" || address.host.hasPrefix("gitlab.") ? gitLab : nil
    }

    private static let truth = ClaimForm.oneOf(["true", "false"])

    private static let gitHub = KnownIssuer(
        provider: "GitHub",
        claims: [
            "repository": .text, "repository_owner": .text, "repository_id": .digits, "repository_owner_id": .digits,
            "repository_visibility": .oneOf(["public", "private", "internal"]), "ref": .beginning("refs/"),
            "ref_type": .oneOf(["branch", "tag"]), "ref_protected": truth, "head_ref": .text, "base_ref": .text,
            "sha": .commit, "actor": .text, "actor_id": .digits, "workflow": .text, "workflow_ref": .text,
            "workflow_sha": .commit, "job_workflow_ref": .text, "job_workflow_sha": .commit, "event_name": .text,
            "environment": .text, "environment_node_id": .text, "run_id": .digits, "run_number": .digits,
            "run_attempt": .digits, "check_run_id": .digits,
            "runner_environment": .oneOf(["github-hosted", "self-hosted"]), "enterprise": .text,
            "enterprise_id": .digits, "issuer_scope": .text,
        ],
        idOfName: [
            "repository": "repository_id", "repository_owner": "repository_owner_id", "actor": "actor_id",
            "enterprise": "enterprise_id",
        ],
        adviceAgainst: [
            "sub":
                "its format differs between repositories and can be customised; match repository_id, ref and environment",
            "workflow": "every branch can call a workflow so; match job_workflow_ref",
        ],
        implications: [
            Implication("ref_type", "tag", "ref", ["refs/tags/"]),
            Implication("ref_type", "branch", "ref", ["refs/heads/", "refs/pull/"]),
            Implication("event_name", "pull_request", "ref", ["refs/pull/"]),
        ])

    private static let gitLab = KnownIssuer(
        provider: "GitLab",
        claims: [
            "namespace_id": .digits, "namespace_path": .text, "project_id": .digits, "project_path": .text,
            "job_namespace_id": .digits, "job_namespace_path": .text, "job_project_id": .digits,
            "job_project_path": .text, "user_id": .digits, "user_login": .text, "user_email": .text,
            "user_access_level": .text, "user_identities": .object, "groups_direct": .texts, "pipeline_id": .digits,
            "pipeline_source": .text, "job_id": .digits,
            "ref": .notBeginning("refs/", instead: "it is the bare name of a branch or tag; ref_path has the rest"),
            "ref_type": .oneOf(["branch", "tag"]), "ref_path": .beginning("refs/"), "ref_protected": truth,
            "environment": .text, "environment_protected": truth, "environment_action": .text, "deployment_tier": .text,
            "runner_id": .number, "runner_environment": .oneOf(["gitlab-hosted", "self-hosted"]), "sha": .commit,
            "ci_config_ref_uri": .text, "ci_config_sha": .commit,
            "project_visibility": .oneOf(["public", "internal", "private"]),
        ],
        idOfName: [
            "project_path": "project_id", "namespace_path": "namespace_id", "job_project_path": "job_project_id",
            "job_namespace_path": "job_namespace_id", "user_login": "user_id", "user_email": "user_id",
        ],
        adviceAgainst: ["sub": "it is made of the project's path, which can be renamed; match project_id and ref"],
        implications: [
            Implication("ref_type", "tag", "ref_path", ["refs/tags/"]),
            Implication("ref_type", "branch", "ref_path", ["refs/heads/", "refs/merge-requests/"]),
        ])

    private static let buildkite = KnownIssuer(
        provider: "Buildkite",
        claims: [
            "organization_id": .uuid, "organization_slug": .text, "pipeline_id": .uuid, "pipeline_slug": .text,
            "build_id": .uuid, "build_number": .number, "build_branch": .text, "build_tag": .text,
            "build_commit": .text,
            "build_source": .text, "step_key": .text, "job_id": .uuid, "agent_id": .uuid, "cluster_id": .uuid,
            "cluster_name": .text, "queue_id": .uuid, "queue_key": .text,
            "runner_environment": .oneOf(["buildkite-hosted", "self-hosted"]),
        ],
        idOfName: [
            "organization_slug": "organization_id", "pipeline_slug": "pipeline_id", "cluster_name": "cluster_id",
        ],
        adviceAgainst: ["sub": "it is made of names and ends with the commit; match organization_id and pipeline_id"])

    private static let circleCI = KnownIssuer(
        provider: "CircleCI",
        claims: [
            "oidc.circleci.com/org-id": .uuid, "oidc.circleci.com/project-id": .uuid,
            "oidc.circleci.com/context-ids": .texts, "oidc.circleci.com/pipeline-id": .uuid,
            "oidc.circleci.com/workflow-id": .uuid, "oidc.circleci.com/job-id": .uuid,
            "oidc.circleci.com/pipeline-definition-id": .uuid, "oidc.circleci.com/ssh-rerun": .bool,
            "oidc.circleci.com/vcs-origin": .text, "oidc.circleci.com/vcs-ref": .text,
        ],
        idOfName: ["oidc.circleci.com/vcs-origin": "oidc.circleci.com/project-id"])

    private static let google = KnownIssuer(
        provider: "Google",
        claims: [
            "sub": .digits, "email": .text, "email_verified": .bool, "hd": .text, "azp": .text, "google": .object,
            "name": .text, "given_name": .text, "family_name": .text, "picture": .text, "locale": .text,
            "nonce": .text, "at_hash": .text,
        ],
        idOfName: ["email": "sub"])
}
