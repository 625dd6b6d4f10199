internal import Broker
internal import JOSE
internal import SPIFFE

/// `tls` of a listener. The files themselves are read when the broker starts, and again whenever they change.
enum TLSSection {
    /// - Parameters:
    ///   - name: of the section.
    ///   - forwards: whether proxies may stand in front, which forward the certificates of their clients.
    static func listener(
        _ node: YAMLNode, _ name: String = "server.public.tls", forwards: Bool = true, files: any ConfigurationFiles,
        problems: Problems
    ) -> ListenerTLS? {
        let known = ["certificate", "key", "client_certificates", "forwarded_certificates", "minimum_version"]
        let fields = Fields(
            node, name, known: known.filter { forwards || $0 != "forwarded_certificates" }, problems: problems)
        guard let fields else { return nil }
        let certificate = fields.required("certificate")?.path(problems, expected: "the path of a PEM file")
        let key = fields.required("key")?.path(problems, expected: "the path of a PEM file")
        let requests = fields["client_certificates"].map { requestsClientCertificates($0, problems) } ?? true
        let forwarded = fields["forwarded_certificates"].map { forwardedCertificates($0, problems) } ?? .some(nil)
        let version = fields["minimum_version"].map { minimumVersion($0, problems) } ?? .tls13
        guard let certificate, let key, let requests, let forwarded, let version else { return nil }
        return ListenerTLS(
            certificateFile: files.absolutePath(certificate), keyFile: files.absolutePath(key),
            requestsClientCertificates: requests, forwardedCertificates: forwarded, minimumVersion: version)
    }

    /// Without quotes too, although some readers take `off` for a boolean: there is none that it could be mistaken for.
    private static func requestsClientCertificates(_ node: YAMLNode, _ problems: Problems) -> Bool? {
        let words: KeyValuePairs<ExactString, Bool> = ["request": true, "off": false]
        guard case .scalar(let text, _) = node.content, let word = words.first(where: { $0.key == ExactString(text) })
        else { return node.refused(problems, "expected request or off") }
        return word.value
    }

    /// - Returns: nil where it is refused, and a nil in it where no proxy is believed.
    private static func forwardedCertificates(
        _ node: YAMLNode, _ problems: Problems
    ) -> ListenerTLS.CertificateForwarding?? {
        if case .scalar(let text, _) = node.content {
            if ExactString(text) == "off" { return .some(nil) }
            return node.refused(problems, "expected off or {header: …, from: [spiffe://…]}")
        }
        let fields = Fields(node, "forwarded_certificates", known: ["header", "from"], problems: problems)
        guard let fields else { return nil }
        let headers: KeyValuePairs<String, ListenerTLS.CertificateHeader> = [
            "client-cert": .clientCert, "x-forwarded-client-cert": .forwardedClientCert,
        ]
        let header = fields.required("header").flatMap { $0.choice(problems, of: headers) }
        let proxies = fields.required("from").flatMap { Self.proxies($0, problems) }
        guard let header, let proxies else { return nil }
        return ListenerTLS.CertificateForwarding(header: header, proxies: proxies)
    }

    /// SPIFFE IDs, with wildcards in their paths alone.
    private static func proxies(_ node: YAMLNode, _ problems: Problems) -> [Glob]? {
        guard let nodes = node.list(problems, of: "SPIFFE IDs of proxies") else { return nil }
        let expected =
            "the SPIFFE ID of a proxy, such as \"spiffe://prod.example.com/ns/edge/sa/envoy\", "
            + "or a pattern with wildcards in its path"
        let globs = nodes.map { node -> Glob? in
            guard let text = node.text(problems, expected: expected) else { return nil }
            return proxy(text) ?? node.refused(problems, "expected \(expected)")
        }
        return globs.contains { $0 == nil } ? nil : globs.compactMap { $0 }
    }

    private static func proxy(_ text: String) -> Glob? {
        let parts = text.split(separator: "/", maxSplits: 3, omittingEmptySubsequences: false)
        guard parts.count == 4, parts[0] == "spiffe:", parts[1].isEmpty, !parts[3].isEmpty,
            (try? TrustDomain(parsing: String(parts[2]))) != nil
        else { return nil }
        return try? Glob(parsing: text)
    }

    /// Without quotes too: there is no number that it could be mistaken for.
    private static func minimumVersion(_ node: YAMLNode, _ problems: Problems) -> ListenerTLS.Version? {
        let versions: KeyValuePairs<ExactString, ListenerTLS.Version> = ["1.2": .tls12, "1.3": .tls13]
        guard case .scalar(let text, _) = node.content,
            let version = versions.first(where: { $0.key == ExactString(text) })
        else { return node.refused(problems, "expected \"1.3\" or \"1.2\"") }
        return version.value
    }
}
