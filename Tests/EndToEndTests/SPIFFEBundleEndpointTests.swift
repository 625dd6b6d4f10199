import Broker
import BrokerHTTP
import Foundation
import JOSE
import SPIFFE
import Synchronization
import Testing

/// Bundle endpoints of the profile https_spiffe that other programs serve, with certificates that other programs made.
@Suite(
    .onOwnThreads, .timeLimit(.minutes(2)),
    .enabled(if: Programs.nginx != nil && Programs.openssl != nil, "nginx and openssl are not installed"))
struct `A bundle endpoint of another program` {
    private static let id = "spiffe://prod.example.com/bundle-endpoint"
    /// What the kinds of key are called by `openssl req -newkey`, with what signs their certificates.
    static let keys = [
        "ed25519", "ec -pkeyopt ec_paramgen_curve:P-521", "ec -pkeyopt ec_paramgen_curve:P-256", "rsa:2048",
    ]

    private let workspace: Workspace

    init() throws {
        workspace = try Workspace()
    }

    // MARK: nginx

    @Test(arguments: keys, ["TLSv1.2", "TLSv1.3"])
    func `is read from nginx, whatever its key and version of TLS`(key: String, version: String) async throws {
        try await makeRoot(key: key)
        try await makeLeaf(key: key)
        let (nginx, url) = try await serve("ssl_protocols \(version);")
        defer { withExtendedLifetime(nginx) {} }
        let document = try await fetch(url, trusting: bundle("root"))
        #expect(document.body == Array(#"{"keys":[]}"#.utf8))
        #expect(document.maximumAge == .seconds(300))
    }

    @Test func `is not read over TLS 1.1, nor from what speaks no TLS`() async throws {
        try await makeRoot()
        try await makeLeaf()
        let (old, url) = try await serve("ssl_protocols TLSv1.1; ssl_ciphers DEFAULT:@SECLEVEL=0;")
        defer { withExtendedLifetime(old) {} }
        let (plain, plainURL) = try await serve("", tls: "")
        defer { withExtendedLifetime(plain) {} }
        for url in [url, plainURL] {
            let failure = await #expect(throws: FetchFailure.self) { try await fetch(url, trusting: bundle("root")) }
            #expect(failure?.description == "\(url) cannot be read: the TLS handshake failed")
        }
    }

    @Test func `is not read from a server with a host name in its certificate and no SPIFFE ID`() async throws {
        try await makeRoot()
        try await makeLeaf(names: "DNS:localhost,IP:127.0.0.1")
        let (nginx, url) = try await serve("")
        defer { withExtendedLifetime(nginx) {} }
        let failure = await #expect(throws: FetchFailure.self) { try await fetch(url, trusting: bundle("root")) }
        #expect(failure == .identity(url, .leaf(.noURI)))
    }

    @Test func `follows its authority: a rotated one is trusted with the bundle that has it, and only then`()
        async throws
    {
        try await makeRoot()
        try await makeLeaf()
        let (old, url) = try await serve("")
        defer { withExtendedLifetime(old) {} }
        let oldBundle = try bundle("root")
        let bundles = Mutex(oldBundle)
        let fetcher = SPIFFEBundleFetcher(
            resolver: SystemResolver(), bundles: { bundles.withLock { $0 } }, clock: SystemClock(),
            timeLimit: .seconds(30))
        let id = try SPIFFEID(parsing: Array(Self.id.utf8))
        func isRead(_ url: OutboundURL) async -> Bool {
            let document = try? await fetcher.fetch(
                url, from: id, allowsPrivateAddresses: true, before: fetcher.deadline)
            return document != nil
        }
        #expect(await isRead(url))
        try await makeRoot(subject: "/O=next")
        try await makeLeaf()
        let (new, newURL) = try await serve("")
        defer { withExtendedLifetime(new) {} }
        #expect(await !isRead(newURL))
        let newBundle = try bundle("root")
        bundles.withLock { $0 = newBundle }
        #expect(await isRead(newURL))
        #expect(await !isRead(url))
    }

    @Test func `is found behind a redirect to the same ID, and not to another`() async throws {
        try await makeRoot()
        try await makeLeaf()
        let (target, targetURL) = try await serve("")
        defer { withExtendedLifetime(target) {} }
        let (redirecting, url) = try await serve("return 307 \(targetURL);")
        defer { withExtendedLifetime(redirecting) {} }
        #expect(try await fetch(url, trusting: bundle("root")).body == Array(#"{"keys":[]}"#.utf8))

        try await makeLeaf(names: "URI:spiffe://prod.example.com/other")
        let (other, otherURL) = try await serve("")
        defer { withExtendedLifetime(other) {} }
        try await makeLeaf()
        let (misleading, misleadingURL) = try await serve("return 307 \(otherURL);")
        defer { withExtendedLifetime(misleading) {} }
        let failure = await #expect(throws: FetchFailure.self) {
            try await fetch(misleadingURL, trusting: bundle("root"))
        }
        #expect(failure?.description == "\(otherURL) is spiffe://prod.example.com/other and not \(Self.id)")
    }

    // MARK: openssl

    @Test func `is not read from openssl's server without a certificate`() async throws {
        try await makeRoot()
        for options in ["", "-tls1_2 -cipher aNULL:@SECLEVEL=0"] {
            let port = try Workspace.freePort()
            let server = try RunningProcess(
                try #require(Programs.openssl),
                "s_server -nocert -www -accept 127.0.0.1:\(port) \(options)".split(separator: " ").map(String.init))
            try await waitUntil("openssl listens") { server.output.contains("ACCEPT") }
            let url = try OutboundURL(parsing: "https://127.0.0.1:\(port)/")
            let failure = await #expect(throws: FetchFailure.self) { try await fetch(url, trusting: bundle("root")) }
            #expect(failure == .connection(url, "the TLS handshake failed"))
        }
    }

    @Test func `is read from openssl's server, with an intermediate that it sends`() async throws {
        try await makeRoot()
        try await makeIntermediate()
        try await makeLeaf(authority: "intermediate")
        let port = try Workspace.freePort()
        let server = try RunningProcess(
            try #require(Programs.openssl),
            "s_server -cert leaf.pem -key leaf.key -cert_chain intermediate.pem -HTTP -accept 127.0.0.1:\(port)"
                .split(separator: " ").map(String.init), in: workspace.folder)
        try await waitUntil("openssl listens") { server.output.contains("ACCEPT") }
        // With -HTTP a file is the whole answer, head and all.
        try workspace.write("bundle", "HTTP/1.0 200 OK\r\n\r\n{}")
        let url = try OutboundURL(parsing: "https://127.0.0.1:\(port)/bundle")
        let document = try await fetch(url, trusting: bundle("root"))
        #expect(document.body == Array("{}".utf8))
    }

    // MARK: Servers, certificates and bundles

    private func fetch(_ url: OutboundURL, trusting bundles: TrustBundleSet) async throws -> FetchedDocument {
        let fetcher = SPIFFEBundleFetcher(
            resolver: SystemResolver(), bundles: { bundles }, clock: SystemClock(), timeLimit: .seconds(30))
        return try await fetcher.fetch(
            url, from: SPIFFEID(parsing: Array(Self.id.utf8)), allowsPrivateAddresses: true, before: fetcher.deadline)
    }

    /// nginx with the leaf that is there now.
    private func serve(_ settings: String, tls: String = "ssl") async throws -> (RunningProcess, OutboundURL) {
        let port = try Workspace.freePort()
        let folder = "nginx-\(port)"
        for name in ["leaf.pem", "leaf.key"] {
            try workspace.write("\(folder)/\(name)", Data(contentsOf: URL(filePath: workspace.path(name))))
        }
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map { "\($0)_temp_path \(folder)/\($0);" }
        try workspace.write(
            "\(folder)/nginx.conf",
            """
            daemon off; master_process off; pid \(folder)/pid; error_log stderr;
            events {}
            http {
                access_log off; \(temporary.joined(separator: " "))
                server {
                    listen 127.0.0.1:\(port) \(tls);
                    # Beside this file.
                    ssl_certificate leaf.pem; ssl_certificate_key leaf.key;
                    \(settings)
                    location / {
                        default_type application/json;
                        add_header Cache-Control max-age=300;
                        return 200 '{"keys":[]}';
                    }
                }
            }

            """)
        let nginx = try RunningProcess(
            try #require(Programs.nginx),
            ["-p", workspace.folder.path(percentEncoded: false), "-c", "\(folder)/nginx.conf", "-e", "stderr"])
        try await waitUntil("nginx listens") {
            try #require(nginx.isRunning, "\(nginx.error)")
            return Workspace.isListening(port)
        }
        return (nginx, try OutboundURL(parsing: "https://127.0.0.1:\(port)/"))
    }

    private func bundle(_ name: String) throws -> TrustBundleSet {
        let pem = try Data(contentsOf: URL(filePath: workspace.path("\(name).pem")))
        return try TrustBundleSet([
            TrustBundle(contents: Array(pem), of: TrustDomain(parsing: "prod.example.com"))
        ])
    }

    private func makeRoot(key: String = keys[2], subject: String = "/O=root") async throws {
        try await openssl(
            "req -x509 -newkey \(key) -nodes -keyout root.key -out root.pem -days 2 -subj \(subject)"
                + " -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign"
                + " -addext subjectAltName=URI:spiffe://prod.example.com")
    }

    private func makeIntermediate() async throws {
        try workspace.write("ca.ext", "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n")
        try await sign("intermediate", key: Self.keys[2], extensions: "ca.ext", by: "root")
    }

    private func makeLeaf(
        key: String = keys[2], names: String = "URI:\(id)", authority: String = "root"
    ) async throws {
        try workspace.write(
            "leaf.ext",
            """
            basicConstraints=critical,CA:FALSE
            keyUsage=critical,digitalSignature
            extendedKeyUsage=serverAuth,clientAuth
            subjectAltName=\(names)

            """)
        try await sign("leaf", key: key, extensions: "leaf.ext", by: authority)
    }

    private func sign(_ name: String, key: String, extensions: String, by authority: String) async throws {
        try await openssl("req -newkey \(key) -nodes -keyout \(name).key -out \(name).csr -subj /O=\(name)")
        try await openssl(
            "x509 -req -in \(name).csr -CA \(authority).pem -CAkey \(authority).key -CAcreateserial -days 1"
                + " -extfile \(extensions) -out \(name).pem")
    }

    private func openssl(_ arguments: String) async throws {
        let process = try RunningProcess(
            try #require(Programs.openssl), arguments.split(separator: " ").map(String.init), in: workspace.folder)
        let outcome = try await process.outcome()
        try #require(outcome.status == 0, "openssl \(arguments): \(outcome.error)")
    }
}
