internal import Broker
internal import JOSE

/// `keys` of an issuer
enum KeySection {
    /// In bytes, of a key set in a file.
    static let maximumFileSize = 512 << 10

    /// - Parameter algorithms: the issuer's; nil when they could not be read.
    static func source(
        _ node: YAMLNode?, algorithms: [JWSAlgorithm]?, allowsHTTP: Bool, files: any ConfigurationFiles,
        problems: Problems
    ) -> IssuerConfiguration.KeySource? {
        guard let node else { return .discovery }
        let expected = "discovery, {url: …} or {file: …}"
        guard case .mapping = node.content else {
            guard let word = node.text(problems, expected: expected) else { return nil }
            return word == "discovery" ? .discovery : node.refused(problems, "expected \(expected)")
        }
        let fields = Fields(node, "keys", known: ["url", "file"], problems: problems)
        guard let fields else { return nil }
        switch (fields["url"], fields["file"]) {
        case (let url?, nil): return self.url(url, allowsHTTP: allowsHTTP, problems)
        case (nil, let file?): return self.file(file, algorithms: algorithms, files: files, problems)
        default: return node.refused(problems, "expected \(expected)")
        }
    }

    private static func url(
        _ node: YAMLNode, allowsHTTP: Bool, _ problems: Problems
    ) -> IssuerConfiguration.KeySource? {
        let expected =
            "the URL of a JWK Set, https (http only for a loopback host, with allow_private: true), without user and fragment"
        guard let text = node.text(problems, expected: expected) else { return nil }
        guard let address = WebAddress(parsing: text), !address.hasFragment,
            address.isSecure || (address.isLoopback && allowsHTTP)
        else { return node.refused(problems, "expected \(expected)") }
        return .url(text)
    }

    private static func file(
        _ node: YAMLNode, algorithms: [JWSAlgorithm]?, files: any ConfigurationFiles, _ problems: Problems
    ) -> IssuerConfiguration.KeySource? {
        guard let path = node.path(problems, expected: "the path of a JWK Set") else { return nil }
        let shown = path.readable(limit: 1024)
        let set = node.reading(shown, problems, failingWith: JWKSetFailure.self) {
            try JWKSet(parsing: files.contents(of: path, limit: maximumFileSize))
        }
        guard let set else { return nil }
        let broken = set.ignored.filter { !$0.reason.isForeign }
        for entry in broken {
            problems.add(node.place, "\(shown): key \(entry.index + 1) of the set cannot be used: \(entry.reason)")
        }
        guard broken.isEmpty else { return nil }
        guard !set.keys.isEmpty else { return node.refused(problems, "\(shown): it has no key that can be used") }
        if let algorithms, !set.keys.values.contains(where: { key in algorithms.contains(where: key.permits) }) {
            let names = algorithms.map(\.rawValue).joined(separator: ", ")
            return node.refused(problems, "\(shown): no key of it fits the issuer's algorithms (\(names))")
        }
        return .inline(set, path: path)
    }
}
