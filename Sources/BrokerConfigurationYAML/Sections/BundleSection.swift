internal import Broker
internal import JOSE
internal import SPIFFE

/// `bundle` of a trust domain
struct BundleSection {
    private static let expected = "{file: …} or {endpoint: …, profile: …}"
    private static let besideEndpoint = ["profile", "endpoint_spiffe_id", "authorities", "allow_private"]

    let source: TrustDomainConfiguration.BundleSource
    /// Where `endpoint_spiffe_id` stands.
    let serverPlace: Place?

    /// - Parameter name: of the trust domain; nil after an error in it.
    init?(_ node: YAMLNode, of name: TrustDomain?, files: any ConfigurationFiles, problems: Problems) {
        let known = ["file", "endpoint"] + Self.besideEndpoint
        let fields = Fields(node, "a bundle", known: known, problems: problems)
        guard let fields else { return nil }
        serverPlace = fields["endpoint_spiffe_id"]?.place
        if let endpoint = fields["endpoint"] {
            let server = Self.endpoint(endpoint, fields, of: name, files: files, problems)
            guard let server else { return nil }
            source = .endpoint(server)
            return
        }
        if let key = Self.besideEndpoint.first(where: { fields[$0] != nil }), let field = fields[key] {
            problems.add(field.place, "\(key) stands only beside endpoint")
            return nil
        }
        guard let file = fields["file"] else {
            problems.add(node.place, "expected \(Self.expected)")
            return nil
        }
        guard let (bundle, path) = Self.file(file, of: name, files: files, problems) else { return nil }
        source = .file(bundle, path: path)
    }

    private static func file(
        _ node: YAMLNode, of name: TrustDomain?, files: any ConfigurationFiles, _ problems: Problems
    ) -> (TrustBundle, path: String)? {
        guard let path = node.path(problems, expected: "the path of a trust bundle, PEM or SPIFFE JSON"), let name
        else { return nil }
        let shown = path.readable(limit: 1024)
        let bundle = node.reading(shown, problems, failingWith: TrustBundleFailure.self) {
            try TrustBundle(contents: files.contents(of: path, limit: TrustBundle.maximumLength), of: name)
        }
        guard let bundle else { return nil }
        for entry in bundle.ignored where !entry.reason.isForeign {
            problems.note(node.place, "\(shown): entry \(entry.index + 1) of the bundle is not used: \(entry.reason)")
        }
        if bundle.isEmpty {
            problems.note(node.place, "\(shown): the bundle has no usable entry, so every SVID of \(name) is refused")
        }
        return (bundle, files.absolutePath(path))
    }

    /// SPIFFE Federation §5.1: URL and profile are configured, and neither is inferred from the other.
    private static func endpoint(
        _ node: YAMLNode, _ fields: Fields, of name: TrustDomain?, files: any ConfigurationFiles, _ problems: Problems
    ) -> BundleEndpoint? {
        let expected = "the URL of a bundle endpoint, https, without user and fragment"
        let url = node.text(problems, expected: expected).flatMap { text -> String? in
            guard let address = WebAddress(parsing: text), address.isSecure, !address.hasFragment
            else { return node.refused(problems, "expected \(expected)") }
            return text
        }
        let profile = fields.required("profile").flatMap { self.profile($0, fields["endpoint_spiffe_id"], problems) }
        let allowsPrivate = fields["allow_private"].map { $0.bool(problems) } ?? false
        var authorities: [UInt8]?
        if let authoritiesNode = fields["authorities"] {
            guard profile == nil || profile == .web else {
                return authoritiesNode.refused(problems, "authorities stands only beside https_web")
            }
            authorities = Self.authorities(authoritiesNode, files: files, problems)
            guard authorities != nil else { return nil }
        }
        var initial: TrustBundle?
        if let file = fields["file"] {
            initial = self.file(file, of: name, files: files, problems)?.0
            guard initial != nil else { return nil }
        }
        guard let url, let profile, let allowsPrivate else { return nil }
        if case .spiffe(let id) = profile, id.trustDomain == name, initial == nil {
            return node.refused(
                problems,
                "expected file as well: the first bundle of \(id.trustDomain), by which its own server is known")
        }
        return BundleEndpoint(
            url: url, profile: profile, authorities: authorities, allowsPrivateAddresses: allowsPrivate,
            initial: initial)
    }

    /// In PEM, whatever their rules are: they are authorities of the web.
    private static func authorities(
        _ node: YAMLNode, files: any ConfigurationFiles, _ problems: Problems
    ) -> [UInt8]? {
        guard let path = node.path(problems, expected: "the path of certificates of authorities, PEM") else {
            return nil
        }
        let shown = path.readable(limit: 1024)
        let read = node.reading(shown, problems, failingWith: TrustBundleFailure.self) {
            let contents = try files.contents(of: path, limit: TrustBundle.maximumLength)
            return (contents, isEmpty: try PEMBlocks.certificates(in: contents).isEmpty)
        }
        guard let (contents, isEmpty) = read else { return nil }
        return isEmpty ? node.refused(problems, "\(shown): it has no certificate") : contents
    }

    private static func profile(
        _ node: YAMLNode, _ idNode: YAMLNode?, _ problems: Problems
    ) -> BundleEndpoint.Profile? {
        let isWeb = node.choice(problems, of: ["https_web": true, "https_spiffe": false])
        guard let isWeb else { return nil }
        guard let idNode else {
            return isWeb
                ? .web : node.refused(problems, "expected endpoint_spiffe_id as well: who serves the bundle")
        }
        guard !isWeb else { return idNode.refused(problems, "endpoint_spiffe_id stands only beside https_spiffe") }
        let expected = "the SPIFFE ID of whoever serves the bundle"
        return idNode.text(problems, expected: expected, limit: SPIFFEID.maximumLength).flatMap { text in
            do {
                return .spiffe(try SPIFFEID(parsing: ExactString(text)))
            } catch {
                return idNode.refused(problems, "expected \(expected): \(error)")
            }
        }
    }
}
