import Foundation
import JOSE
import OpenSSL
@testable import SPIFFE
import Testing
import VectorFiles

/// Certificates that no code of ours made: those of the command `openssl`, in each algorithm that we accept.
@Suite struct OpenSSLCommandTests {
    struct Algorithm: Sendable, CustomTestStringConvertible {
        let key: String
        var signing = ""
        var testDescription: String { key + signing }
    }

    static let algorithms = [
        Algorithm(key: "rsa:2048"), Algorithm(key: "rsa:3072", signing: " -sha512"),
        Algorithm(key: "rsa:2048", signing: " -sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32"),
        Algorithm(key: "ec -pkeyopt ec_paramgen_curve:P-256"),
        Algorithm(key: "ec -pkeyopt ec_paramgen_curve:P-384", signing: " -sha384"),
        Algorithm(key: "ec -pkeyopt ec_paramgen_curve:P-521", signing: " -sha512"), Algorithm(key: "ed25519"),
    ]

    @Test(arguments: algorithms) func `a chain of this algorithm proves its id`(algorithm: Algorithm) throws {
        let folder = try Folder()
        try folder.makeRoot(algorithm)
        try folder.makeLeaf(algorithm, names: "DNS:a.example.org,URI:spiffe://example.org/ns/a/sa/b")
        let root = try folder.certificate("root"), leaf = try folder.certificate("leaf")
        let svid = try X509SVID.validate([leaf], against: bundles([root]), at: Date())
        #expect(svid.id.text == "spiffe://example.org/ns/a/sa/b")
        #expect(svid.fingerprint.bytes.hexadecimal == (try folder.fingerprint("leaf")))
    }

    @Test(arguments: [
        Algorithm(key: "rsa:2048", signing: " -sha1"), Algorithm(key: "rsa:2048", signing: " -md5"),
        Algorithm(key: "ec -pkeyopt ec_paramgen_curve:P-256", signing: " -sha1"),
        Algorithm(key: "rsa:2048", signing: " -sha1 -sigopt rsa_padding_mode:pss"),
        Algorithm(key: "rsa:2048", signing: " -sha224"),
    ])
    func `a good signature with a weak digest is refused`(algorithm: Algorithm) throws {
        let folder = try Folder()
        try folder.makeRoot(Algorithm(key: algorithm.key))
        try folder.makeLeaf(algorithm, names: "URI:spiffe://example.org/workload")
        let set = try bundles([try folder.certificate("root")])
        let failure = refusal(of: [try folder.certificate("leaf")], against: set, at: Date())
        #expect(failure?.pathReason == .signatureAlgorithm)
    }

    @Test func `a root with explicit curve parameters is no authority`() throws {
        let folder = try Folder()
        try folder.makeRoot(
            Algorithm(key: "ec -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:explicit"))
        let bundle = try TrustBundle(pem: pem([try folder.certificate("root")]), of: .example)
        #expect(bundle.isEmpty)
        #expect(bundle.ignored.map(\.reason) == [.certificate(.key(.unsupported))])
    }

    /// A folder for one test, in which `openssl` runs.
    final class Folder {
        let url = URL.temporaryDirectory.appending(path: "daypass-openssl-\(UUID().uuidString)")

        init() throws {
            try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        }

        deinit {
            try? FileManager.default.removeItem(at: url)
        }

        func makeRoot(_ algorithm: Algorithm) throws {
            try run(
                "req -x509 -newkey \(algorithm.key) -nodes -keyout root.key -out root.pem -days 2 -subj /O=SPIFFE"
                    + " -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign"
                    + " -addext subjectAltName=URI:spiffe://example.org")
        }

        func makeLeaf(_ algorithm: Algorithm, names: String) throws {
            let extensions = """
                basicConstraints=critical,CA:FALSE
                keyUsage=critical,digitalSignature
                extendedKeyUsage=serverAuth,clientAuth
                subjectAltName=\(names)
                authorityKeyIdentifier=keyid
                """
            try Data(extensions.utf8).write(to: url.appending(path: "leaf.ext"))
            try run("req -newkey \(algorithm.key) -nodes -keyout leaf.key -out leaf.csr -subj /O=SPIRE")
            try run(
                "x509 -req -in leaf.csr -CA root.pem -CAkey root.key -CAcreateserial -days 1 -extfile leaf.ext"
                    + " -out leaf.pem\(algorithm.signing)")
        }

        func certificate(_ name: String) throws -> [UInt8] {
            let text = try Data(contentsOf: url.appending(path: "\(name).pem"))
            return try #require(try PEMBlocks.certificates(in: [UInt8](text)).first)
        }

        /// As `openssl` computes it.
        func fingerprint(_ name: String) throws -> String {
            let text = try run("x509 -in \(name).pem -noout -fingerprint -sha256")
            return text.filter(\.isHexDigit).suffix(64).lowercased()
        }

        /// - Returns: what the command printed.
        @discardableResult func run(_ arguments: String) throws -> String {
            let log = url.appending(path: "log")
            let status = try Self.spawn(
                ["/usr/bin/env", "-C", url.path, "openssl"] + arguments.split(separator: " ").map(String.init),
                output: log.path)
            let text = String(decoding: try Data(contentsOf: log), as: UTF8.self)
            try #require(status == 0, "openssl \(arguments): \(text)")
            return text
        }

        /// Not Foundation's `Process`, which waits with `select`: that ends badly in a process with more than 1024 open
        /// files, as other tests make this one.
        private static func spawn(_ command: [String], output: String) throws -> Int32 {
            var actions = posix_spawn_file_actions_t()
            posix_spawn_file_actions_init(&actions)
            defer { posix_spawn_file_actions_destroy(&actions) }
            posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
            posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
            posix_spawn_file_actions_adddup2(&actions, 1, 2)
            let words = command.map { strdup($0) } + [nil]
            let variables = ProcessInfo.processInfo.environment.map { strdup("\($0)=\($1)") } + [nil]
            defer { for text in words + variables { free(text) } }
            var id: pid_t = 0
            try #require(posix_spawn(&id, command[0], &actions, nil, words, variables) == 0)
            var status: Int32 = -1
            while waitpid(id, &status, 0) < 0 { try #require(errno == EINTR) }
            return status
        }
    }
}
