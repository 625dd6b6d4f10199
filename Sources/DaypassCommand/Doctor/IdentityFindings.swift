import BrokerClient
import FoundationEssentials
import Glibc

/// Whether the identity is there, and whether the broker gives a token for it: asked as the client asks.
struct IdentityFindings {
    let setup: CheckedSetup
    /// Nil where it did not answer.
    let broker: BrokerMetadata?
    /// Whether a token may be asked for: that opens a session, and uses the identity token once.
    let asks: Bool

    /// - Throws: a `CommandFailure` of wrong usage.
    func findings() async throws(CommandFailure) -> [Finding] {
        guard let identity = try setup.identity() else {
            // Another program has its own.
            guard !setup.isOthers else { return [] }
            return [
                .problem(
                    "identity", Identity.absence(in: setup.environment),
                    do: "daypass login, or see daypass token --help for what else there is"
                )
            ]
        }
        // Nor is anything fetched for somebody whom the folder names.
        guard notAsked.isEmpty else { return notAsked }
        let wanted = audience(origin ?? "")
        // Whoever issues tokens by their audience cannot be asked for none.
        guard !wanted.isEmpty || ![.github, .buildkite, .circleci].contains(identity) else { return [] }
        let source = IdentitySource(identity, audience: wanted, environment: setup.environment)
        let proof: Proof
        do throws(TokenFailure) {
            proof = try await source.proof(within: TokenSession.longest)
        } catch {
            return [
                .problem(
                    "identity", error.words,
                    do: "check that whoever writes or gives it does, and that this user may read it")
            ]
        }
        let own = local(identity, proof)
        guard !own.contains(where: { $0.level == .problem }) || identity != .login else { return own }
        do throws(TokenFailure) {
            guard let endpoint = try endpoint(identity) else { return own }
            let issued = try await endpoint.exchange(proof, within: TokenSession.longest)
            // What the broker takes needs no guess of ours.
            return own.filter { $0.level == .warning || identity == .login } + granted(issued, identity)
        } catch {
            return own.filter { $0.level != .good } + [
                .problem("token", error.words, do: identity == .login ? signInRemedy(error) : remedy(for: error))
            ]
        }
    }

    private var origin: String? { setup.url.flatMap { BrokerAddress.origin(parsing: $0) } }

    private func audience(_ usual: String) -> String {
        setup.arguments.audience ?? setup.environment["DAYPASS_AUDIENCE"] ?? usual
    }

    // MARK: A token

    private func endpoint(_ identity: Identity) throws(TokenFailure) -> (any TokenEndpoint)? {
        guard asks else { return nil }
        if let federation = setup.federation, setup.arguments.identity == nil {
            guard !federation.isProjects, let call = federation.call, let gateway = federation.gateway else {
                return nil
            }
            // In the clear the identity token would be anybody's.
            let place = gateway.split(separator: "/", maxSplits: 3, omittingEmptySubsequences: false).prefix(3)
            guard BrokerAddress.origin(parsing: place.joined(separator: "/")) != nil else { return nil }
            return TokenExchangeClient(gateway, call, authorities: setup.authorities)
        }
        guard let origin, broker != nil, !setup.isProjects else { return nil }
        if identity == .login {
            let wish = TokenWish(
                origin: origin, identity: identity, audience: audience(origin), scope: setup.arguments.scope,
                authorities: setup.authorities)
            return try SignedInBroker(wish, in: setup.environment) { Terminal.warn($0) }
        }
        var certificate: (chain: String, key: String)?
        if case .certificate(let chain, let key) = identity { certificate = (chain, key) }
        let scope = setup.arguments.scope.joined(separator: " ")
        return TokenExchangeClient(
            origin, scope: scope.isEmpty ? nil : scope, rule: setup.arguments.rule, authorities: setup.authorities,
            certificate: certificate)
    }

    private var notAsked: [Finding] {
        guard asks, setup.isProjects || setup.federation?.isProjects == true else { return [] }
        return [
            .warning(
                "token", "none was asked for: this folder's settings say where the identity would be sent, or which",
                do: "where that is your broker, name what they say with --url, --identity, --audience and --ca-file")
        ]
    }

    private func granted(_ issued: IssuedToken, _ identity: Identity) -> [Finding] {
        let rule = UnverifiedClaims(of: issued.token.reveal())?.rule.map { "rule \($0)" } ?? "the broker"
        let words = "\(rule) grants \(issued.scope) for \(issued.lifetime) s"
        let wanted = setup.arguments.minTtl
        // Anthropic's clients renew by themselves, two minutes before the end.
        guard setup.federation == nil, issued.lifetime < wanted.seconds else { return [.good("token", words)] }
        return [
            .warning(
                "token", "\(words), and what is kept for five minutes wants \(wanted.description)",
                do: "have the rule's ttl raised")
        ]
    }

    private func signInRemedy(_ failure: TokenFailure) -> String {
        switch failure {
        case .noIdentity: "unlock the keyring, or daypass login"
        default: remedy(for: failure)
        }
    }

    private func remedy(for failure: TokenFailure) -> String {
        switch failure {
        case .refused: "with the trace id, daypass explain tells an administrator which claim is missing"
        case .unreachable, .overloaded: "ask again"
        case .signedOut: "daypass login"
        case .unreadable: "give the broker's own address, or have the gateway pass /v1/oauth/token on to it"
        case .noIdentity, .unusable: "name the right files"
        }
    }

    // MARK: What can be said without the broker

    private func local(_ identity: Identity, _ proof: Proof) -> [Finding] {
        switch (identity, proof) {
        case (.certificate(let chain, let key), _): certificate(chain, key: key)
        case (.login, _): signIn
        case (_, .identityToken(let token)): check(token.reveal(), identity.name)
        default: []
        }
    }

    private var signIn: [Finding] {
        guard let origin, let store = SignInStore(origin, in: setup.environment) else {
            let words = "the broker of the sign-in is not known"
            return [.problem("identity", words, do: "give --url, or set DAYPASS_URL")]
        }
        do throws(TokenFailure) {
            guard let saved = try store.saved() else {
                return [.problem("identity", "nobody is signed in at \(origin)", do: "daypass login")]
            }
            let since = Date(timeIntervalSince1970: Double(saved.since / 1000)).formatted(.iso8601)
            let who = saved.email.map { " as \($0)" } ?? ""
            let place = saved.keeping == .secretService ? "the Secret Service" : store.path
            return [.good("identity", "signed in at \(origin)\(who) since \(since), kept in \(place)")]
        } catch {
            return [.problem("identity", error.words, do: "daypass login")]
        }
    }

    private func check(_ token: String, _ place: String) -> [Finding] {
        guard let claims = UnverifiedClaims(of: token) else {
            return [.problem("identity", "what \(place) gives is no signed token", do: "name the token itself")]
        }
        var findings: [Finding] = []
        let renewal = "have a new one written; where it cannot be asked for again, raise the job's timeout"
        if let end = claims.end {
            if end <= Date() {
                let words = "the token of \(place) ended at \(end.formatted(.iso8601))"
                findings.append(.problem("identity", words, do: renewal))
            }
        } else {
            findings.append(.problem("identity", "the token of \(place) does not say when it ends", do: renewal))
        }
        if let start = claims.start, start > Date() + 60 {
            let words = "the token of \(place) counts from \(start.formatted(.iso8601)) on"
            findings.append(.problem("identity", words, do: "check this machine's clock, and its issuer's"))
        }
        let wanted = audience(broker?.issuer ?? origin ?? "")
        if !wanted.isEmpty, !claims.audiences.contains(where: { $0.utf8.elementsEqual(wanted.utf8) }) {
            let named = claims.audiences.isEmpty ? "nobody" : claims.audiences.joined(separator: ", ")
            findings.append(
                .problem(
                    "identity", "the token of \(place) is meant for \(named)",
                    do: "ask for it with the audience \(wanted); --audience where its issuer has another one"))
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
        } else if status.st_mode & S_IFMT != S_IFREG {
            findings.append(.problem("identity", "\(key) is no file", do: "name the file of its key"))
        } else if status.st_mode & 0o077 != 0 {
            findings.append(.warning("identity", "others than its owner may use \(key)", do: "chmod 600 \(key)"))
        }
        return findings.isEmpty ? [.good("identity", "\(path) counts until \(until)")] : findings
    }
}
