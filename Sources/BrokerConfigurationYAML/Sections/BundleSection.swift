internal import Broker
internal import JOSE
internal import SPIFFE

/// `bundle` of a trust domain
enum BundleSection {
    private static let expected = "{file: …} or {endpoint: …, profile: …}"

    /// - Parameter name: of the trust domain; nil after an error in it.
    static func source(
        _ node: YAMLNode, of name: TrustDomain?, files: any ConfigurationFiles, problems: Problems
    ) -> TrustDomainConfiguration.BundleSource? {
        let fields = Fields(
            node, "a bundle", known: ["file", "endpoint", "profile", "endpoint_spiffe_id"], problems: problems)
        guard let fields else { return nil }
        switch (fields["file"], fields["endpoint"]) {
        case (let file?, nil):
            for key in ["profile", "endpoint_spiffe_id"] {
                guard let field = fields[key] else { continue }
                return field.refused(problems, "\(key) stands only beside endpoint")
            }
            return self.file(file, of: name, files: files, problems)
        case (nil, let endpoint?):
            guard self.endpoint(endpoint, fields, problems) != nil else { return nil }
            return endpoint.refused(problems, "a bundle endpoint is not supported by this version: write {file: …}")
        default: return node.refused(problems, "expected \(expected)")
        }
    }

    private static func file(
        _ node: YAMLNode, of name: TrustDomain?, files: any ConfigurationFiles, _ problems: Problems
    ) -> TrustDomainConfiguration.BundleSource? {
        guard let path = node.path(problems, expected: "the path of a trust bundle, PEM or SPIFFE JSON"), let name
        else { return nil }
        let shown = path.readable(limit: 1024)
        let bundle: TrustBundle
        do {
            bundle = try TrustBundle(contents: files.contents(of: path, limit: TrustBundle.maximumLength), of: name)
        } catch let failure as FileFailure {
            return node.refused(problems, "\(shown): \(failure)")
        } catch let failure as TrustBundleFailure {
            return node.refused(problems, "\(shown): \(failure)")
        } catch {
            return node.refused(problems, "\(shown): it could not be read")
        }
        for entry in bundle.ignored where !entry.reason.isForeign {
            problems.note(node.place, "\(shown): entry \(entry.index + 1) of the bundle is not used: \(entry.reason)")
        }
        if bundle.isEmpty {
            problems.note(node.place, "\(shown): the bundle has no usable entry, so every SVID of \(name) is refused")
        }
        return .file(bundle, path: files.absolutePath(path))
    }

    /// SPIFFE Federation §5.1: URL and profile are configured, and neither is inferred from the other.
    private static func endpoint(_ node: YAMLNode, _ fields: Fields, _ problems: Problems) -> BundleEndpoint? {
        let expected = "the URL of a bundle endpoint, https, without user, query and fragment"
        let url = node.text(problems, expected: expected).flatMap { text -> String? in
            guard let address = WebAddress(parsing: text), address.isSecure, !address.hasQuery, !address.hasFragment
            else { return node.refused(problems, "expected \(expected)") }
            return text
        }
        let profile = fields.required("profile").flatMap { self.profile($0, fields["endpoint_spiffe_id"], problems) }
        guard let url, let profile else { return nil }
        return BundleEndpoint(url: url, profile: profile)
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
