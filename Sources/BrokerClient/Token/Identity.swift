import Glibc

/// Who this process is, and how it can show it.
package enum Identity: Sendable, Hashable {
    case github
    case gitlab
    case buildkite
    case circleci
    case kubernetes
    /// PEM files: the chain, and its key.
    case certificate(chain: String, key: String)
    case file(String)
    case variable(String)
    /// Whoever has signed in with `daypass login`.
    case login

    /// - Returns: nil for a name that is none: see `names`.
    package init?(parsing name: String) {
        switch name {
        case "github": self = .github
        case "gitlab": self = .gitlab
        case "buildkite": self = .buildkite
        case "circleci": self = .circleci
        case "kubernetes": self = .kubernetes
        case "login": self = .login
        default:
            let parts = name.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard parts.count == 2, !parts[1].isEmpty, !parts[1].contains("\0") else { return nil }
            switch parts[0] {
            case "file": self = .file(parts[1])
            case "env":
                guard Self.isVariable(parts[1]) else { return nil }
                self = .variable(parts[1])
            case "x509":
                let files = parts[1].split(separator: ",", omittingEmptySubsequences: false).map(String.init)
                guard files.count == 2, files.allSatisfy({ !$0.isEmpty }) else { return nil }
                self = .certificate(chain: files[0], key: files[1])
            default: return nil
            }
        }
    }

    /// Not any text: somebody's token in its place would be shown as the name of a variable that is not set.
    private static func isVariable(_ name: String) -> Bool {
        name.utf8.count <= 128 && name.utf8.first.map { !(0x30...0x39).contains($0) } == true
            && name.hasOnlyNameCharacters
    }

    /// As `init(parsing:)` reads it.
    package var name: String {
        switch self {
        case .github: "github"
        case .gitlab: "gitlab"
        case .buildkite: "buildkite"
        case .circleci: "circleci"
        case .kubernetes: "kubernetes"
        case .certificate(let chain, let key): "x509:\(chain),\(key)"
        case .file(let path): "file:\(path)"
        case .variable(let name): "env:\(name)"
        case .login: "login"
        }
    }

    /// The files that it names.
    package var files: [String] {
        switch self {
        case .file(let path): [path]
        case .certificate(let chain, let key): [chain, key]
        default: []
        }
    }

    /// The same, with whole paths in the place of those below `folder`.
    package func located(in folder: String) -> Identity {
        func whole(_ path: String) -> String { path.hasPrefix("/") ? path : "\(folder)/\(path)" }
        return switch self {
        case .file(let path): .file(whole(path))
        case .certificate(let chain, let key): .certificate(chain: whole(chain), key: whole(key))
        default: self
        }
    }

    package static let names =
        "github, gitlab, buildkite, circleci, kubernetes, x509:CERT,KEY, file:PATH, env:NAME or login"

    /// The first that this environment offers, in the documented order: signing in is the last of them.
    /// - Parameter origin: the broker that is to be asked; nil is not known, and nobody is signed in there.
    package static func found(in environment: [String: String], at origin: String?) -> Identity? {
        let offered: [Identity] = [.github, .gitlab, .buildkite, .circleci, .kubernetes]
        if let identity = offered.first(where: { $0.isOffered(in: environment) }) { return identity }
        // A job runs what others have written, often as a user who has signed in.
        guard ContinuousIntegrationJob(in: environment) == .none, let origin,
            SignInStore(origin, in: environment)?.isThere == true
        else { return nil }
        return .login
    }

    private func isOffered(in environment: [String: String]) -> Bool {
        func isSet(_ name: String) -> Bool { environment[name]?.isEmpty == false }
        return switch self {
        case .github: isSet("ACTIONS_ID_TOKEN_REQUEST_URL") && isSet("ACTIONS_ID_TOKEN_REQUEST_TOKEN")
        case .gitlab: isSet("GITLAB_CI") && isSet(IdentitySource.gitlabVariable)
        case .buildkite: isSet("BUILDKITE") && isSet("BUILDKITE_JOB_ID")
        case .circleci: isSet("CIRCLECI")
        case .kubernetes: access(IdentitySource.kubernetesFile(environment), R_OK) == 0
        case .certificate, .file, .variable, .login: false
        }
    }

    /// What to say where none is offered.
    package static func absence(in environment: [String: String]) -> String {
        if environment["GITHUB_ACTIONS"]?.isEmpty == false {
            return "the job may not ask GitHub for an identity token: it needs `permissions: id-token: write`"
        }
        if environment["GITLAB_CI"]?.isEmpty == false {
            return "the job has no \(IdentitySource.gitlabVariable): it needs "
                + "`id_tokens: {\(IdentitySource.gitlabVariable): {aud: …}}`"
        }
        let signIn =
            ContinuousIntegrationJob(in: environment) == .none
            ? "nobody is signed in; sign in with `daypass login`"
            : "a sign-in (`daypass login`) counts in a job only by its name, --identity login"
        return
            "there is no identity here: no CI job that offers one, no \(IdentitySource.kubernetesFile(environment)), and "
            + "\(signIn), or name one with --identity: \(names)"
    }
}
