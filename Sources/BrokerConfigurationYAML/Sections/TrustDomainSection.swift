internal import Broker
internal import JOSE
internal import SPIFFE

/// The entries of `trust_domains`
struct TrustDomainSection {
    /// More are an error.
    static let maximumCount = TrustBundleSet.maximumTrustDomains

    let configurations: [TrustDomainConfiguration]
    /// The names of all entries, also of those with errors, so that these are not reported again at their rules.
    let names: [TrustDomain: Place]

    init(configurations: [TrustDomainConfiguration], names: [TrustDomain: Place]) {
        self.configurations = configurations
        self.names = names
    }

    /// - Parameter tokenIssuer: what `audience` is by default.
    init(_ nodes: [YAMLNode], tokenIssuer: ExactString?, files: any ConfigurationFiles, problems: Problems) {
        var configurations: [TrustDomainConfiguration] = []
        var names: [TrustDomain: Place] = [:]
        var serverPlaces: [TrustDomain: Place] = [:]
        for node in nodes {
            let entry = TrustDomainEntry(node, tokenIssuer: tokenIssuer, files: files, problems: problems)
            if let name = entry.name {
                if let first = names[name] {
                    problems.add(entry.namePlace, "expected each trust domain once: \(name) stands at \(first) already")
                } else {
                    names[name] = entry.namePlace
                }
            }
            guard let configuration = entry.configuration else { continue }
            configurations.append(configuration)
            serverPlaces[configuration.name] = entry.serverPlace
        }
        self.configurations = configurations
        self.names = names
        checkServers(serverPlaces, problems)
    }

    /// Whoever serves a bundle by `https_spiffe` has to be known by a bundle of a domain that is configured, and that can be
    /// had before this one (SPIFFE Federation §5.2.2.2).
    private func checkServers(_ places: [TrustDomain: Place], _ problems: Problems) {
        var pending: [(domain: TrustDomain, server: TrustDomain)] = []
        for configuration in configurations {
            guard let server = configuration.bundle.servingDomain, let place = places[configuration.name] else {
                continue
            }
            guard names[server] != nil else {
                problems.add(place, "expected the SPIFFE ID of a configured trust domain: none is named \(server)")
                continue
            }
            if configuration.bundle.isFirstFetched { pending.append((configuration.name, server)) }
        }
        var resolved: Bool
        repeat {
            let waiting = Set(pending.map(\.domain))
            let next = pending.filter { waiting.contains($0.server) }
            resolved = next.count < pending.count
            pending = next
        } while resolved
        for (domain, server) in pending {
            guard let place = places[domain] else { continue }
            problems.add(
                place,
                "no bundle of \(server) can be had before that of \(domain): write file beside one of the endpoints")
        }
    }

    /// The trust domain that a rule names.
    func name(_ node: YAMLNode, _ problems: Problems) -> TrustDomain? {
        guard let text = node.text(problems, expected: "the name of a trust domain") else { return nil }
        if let name = try? TrustDomain(parsing: text), names[name] != nil { return name }
        let nearest = text.nearest(among: names.keys.map(\.description).sorted())
        let advice = nearest.map { "; did you mean \($0.quoted)?" } ?? ""
        return node.refused(
            problems, "expected the name of a trust domain: none that is configured is named \(text.quoted)\(advice)")
    }
}

/// One entry, as far as it could be read.
private struct TrustDomainEntry {
    var name: TrustDomain?
    var namePlace: Place
    var configuration: TrustDomainConfiguration?
    /// Where `endpoint_spiffe_id` stands.
    var serverPlace: Place?

    static let keys = ["name", "bundle", "audience", "max_lifetime", "replay"]

    init(_ node: YAMLNode, tokenIssuer: ExactString?, files: any ConfigurationFiles, problems: Problems) {
        namePlace = node.place
        let fields = Fields(node, "a trust domain", known: Self.keys, problems: problems)
        guard let fields else { return }
        namePlace = fields["name"]?.place ?? node.place
        name = fields.required("name").flatMap { Self.name($0, problems) }
        let bundle = fields.required("bundle").flatMap {
            BundleSection($0, of: name, files: files, problems: problems)
        }
        let audience = fields["audience"].map { $0.audience(problems) } ?? tokenIssuer
        let lifetime =
            fields["max_lifetime"].map { $0.duration(problems, atMost: .seconds(86_400)) } ?? .seconds(3600)
        let replay = fields["replay"].map { ReplaySection.policy($0, problems: problems) } ?? .standard
        serverPlace = bundle?.serverPlace
        guard let name, let bundle, let audience, let lifetime, let replay else { return }
        configuration = TrustDomainConfiguration(
            name: name, bundle: bundle.source, audience: audience, maximumLifetime: lifetime, replay: replay)
    }

    private static func name(_ node: YAMLNode, _ problems: Problems) -> TrustDomain? {
        let expected = "the name of a trust domain, such as prod.example.com, without spiffe://"
        guard let text = node.text(problems, expected: expected) else { return nil }
        do {
            return try TrustDomain(parsing: text)
        } catch {
            return node.refused(problems, "expected \(expected): \(error)")
        }
    }
}

extension TrustDomainConfiguration.BundleSource {
    /// The trust domain whose bundle the server is known by.
    fileprivate var servingDomain: TrustDomain? {
        guard case .endpoint(let endpoint) = self, case .spiffe(let id) = endpoint.profile else { return nil }
        return id.trustDomain
    }

    /// Whether there is none before the endpoint has answered.
    fileprivate var isFirstFetched: Bool {
        guard case .endpoint(let endpoint) = self else { return false }
        return endpoint.initial == nil
    }
}
