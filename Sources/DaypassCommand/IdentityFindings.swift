import BrokerClient
import FoundationEssentials
import Glibc

/// Whether the identity is one that a broker could accept.
struct IdentityFindings {
    let environment: [String: String]
    /// What its token has to name; nil where that is not known.
    let audience: String?

    /// - Parameter identity: as --identity names it; nil looks for the job's own.
    /// - Throws: a `CommandFailure` of wrong usage.
    func findings(_ identity: String?) throws(CommandFailure) -> [Finding] {
        guard let identity else { return job }
        if identity.hasPrefix("file:") { return file(String(identity.dropFirst(5))) }
        if identity.hasPrefix("env:") { return variable(String(identity.dropFirst(4))) }
        if identity.hasPrefix("x509:") {
            let parts = identity.dropFirst(5).split(separator: ",", maxSplits: 1).map(String.init)
            guard parts.count == 2 else { throw CommandFailure(.usage, "x509: names two files: x509:CERT,KEY") }
            return certificate(parts[0], key: parts[1])
        }
        switch identity {
        case "github": return github
        case "gitlab": return gitlab
        case "kubernetes": return file(kubernetesFile)
        // Only the job's own program has their tokens.
        case "buildkite", "circleci": return []
        default:
            throw CommandFailure(.usage, "--identity \(identity) is none: see daypass token --help")
        }
    }

    private var job: [Finding] {
        if environment["GITHUB_ACTIONS"] == "true" { return github }
        if let path = environment["ANTHROPIC_IDENTITY_TOKEN_FILE"] { return file(path) }
        if environment["GITLAB_CI"] == "true" { return gitlab }
        return access(kubernetesFile, F_OK) == 0 ? file(kubernetesFile) : []
    }

    private var kubernetesFile: String {
        environment["DAYPASS_KUBERNETES_TOKEN_FILE"] ?? "/var/run/secrets/daypass/token"
    }

    private var gitlab: [Finding] {
        guard environment["DAYPASS_ID_TOKEN"] == nil else { return variable("DAYPASS_ID_TOKEN") }
        return [
            .problem(
                "identity", "this job of GitLab has no DAYPASS_ID_TOKEN",
                do: "write id_tokens: {DAYPASS_ID_TOKEN: {aud: \(audience ?? "AUDIENCE")}} into it")
        ]
    }

    private var github: [Finding] {
        guard environment["ACTIONS_ID_TOKEN_REQUEST_URL"] != nil, environment["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] != nil
        else {
            return [
                .problem(
                    "identity", "this job of GitHub Actions may not ask for a token",
                    do: "write permissions: {id-token: write, contents: read} into the job")
            ]
        }
        return [.good("identity", "this job of GitHub Actions may ask for a token")]
    }

    private func variable(_ name: String) -> [Finding] {
        guard let token = environment[name] else {
            return [.problem("identity", "\(name) is not set", do: "set it, or name another identity")]
        }
        return check(token, name)
    }

    private func file(_ path: String) -> [Finding] {
        guard let text = try? TextFile.read(path, atMost: TextFile.maximumClaimsLength) else {
            return [
                .problem(
                    "identity", "\(path): it cannot be read, or is no token",
                    do: "check that whoever writes it does, and that this user may read it")
            ]
        }
        return check(String(text.trimmingPrefix(while: \.isWhitespace)), path)
    }

    private func check(_ text: String, _ place: String) -> [Finding] {
        let token = String(text.prefix { !$0.isWhitespace })
        guard let claims = UnverifiedClaims(of: token) else {
            return [.problem("identity", "what \(place) holds is no signed token", do: "name the token itself")]
        }
        var findings: [Finding] = []
        if let end = claims.end, end <= Date() {
            findings.append(
                .problem(
                    "identity", "the token of \(place) ended at \(end.formatted(.iso8601))",
                    do: "have a new one written; where it cannot be asked for again, raise the job's timeout"))
        }
        if let audience, !claims.audiences.contains(where: { $0.utf8.elementsEqual(audience.utf8) }) {
            let named = claims.audiences.isEmpty ? "nobody" : claims.audiences.joined(separator: ", ")
            findings.append(
                .problem(
                    "identity", "the token of \(place) is meant for \(named)",
                    do: "ask for it with the audience \(audience); --audience where its issuer has another one"))
        }
        return findings.isEmpty ? [.good("identity", "the token of \(place) is meant for the broker")] : findings
    }

    private func certificate(_ path: String, key: String) -> [Finding] {
        guard let life = CertificateLife(ofFirstIn: path) else {
            return [.problem("identity", "\(path): no certificate in PEM can be read", do: "name the SVID's file")]
        }
        var findings: [Finding] = []
        let now = Date()
        let left = life.end.timeIntervalSince(now)
        let until = life.end.formatted(.iso8601)
        if now < life.start {
            let start = life.start.formatted(.iso8601)
            findings.append(.problem("identity", "\(path) counts from \(start) on", do: "check this machine's clock"))
        } else if left <= 0 {
            findings.append(.problem("identity", "\(path) ended at \(until)", do: "renew it"))
        } else if left < life.end.timeIntervalSince(life.start) / 4 {
            findings.append(
                .warning(
                    "identity", "\(path) ends at \(until), less than a quarter of its life is left",
                    do: "see that whatever renews it runs"))
        }
        var status = stat()
        if access(key, R_OK) != 0 || stat(key, &status) != 0 {
            findings.append(
                .problem("identity", "\(key): \(String(cString: strerror(errno)))", do: "name the file of its key"))
        } else if status.st_mode & 0o077 != 0 {
            findings.append(.warning("identity", "others than its owner may use \(key)", do: "chmod 600 \(key)"))
        }
        return findings.isEmpty ? [.good("identity", "\(path) counts until \(until)")] : findings
    }
}
