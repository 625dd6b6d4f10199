import CFuzzer

/// `Fuzz TARGET [libFuzzer's options] [corpus folders]`. A trap, a failed check or a time-out is a finding.
@main enum Fuzz {
    private typealias Callback = @convention(c) (UnsafePointer<UInt8>?, Int) -> Int32

    /// C callbacks have no context, hence one for each target.
    private static let targets: [String: Callback] = [
        "auditline": { run(AuditLineTarget.self, $0, $1) },
        "auditlines": { run(AuditLinesTarget.self, $0, $1) },
        "bundle": { run(BundleTarget.self, $0, $1) },
        "certificate": { run(CertificateTarget.self, $0, $1) },
        "claims": { run(ClaimsTarget.self, $0, $1) },
        "codex": { run(CodexTarget.self, $0, $1) },
        "device": { run(DeviceTarget.self, $0, $1) },
        "forwarded": { run(ForwardedCertificateTarget.self, $0, $1) },
        "form": { run(FormTarget.self, $0, $1) },
        "glob": { run(GlobTarget.self, $0, $1) },
        "heldtoken": { run(HeldTokenTarget.self, $0, $1) },
        "signin": { run(SignInTarget.self, $0, $1) },
        "jwks": { run(JWKSetTarget.self, $0, $1) },
        "jws": { run(JWSTarget.self, $0, $1) },
        "settings": { run(SettingsTarget.self, $0, $1) },
        "spiffeid": { run(SPIFFEIDTarget.self, $0, $1) },
        "strict-head": { run(StrictHeadTarget.self, $0, $1) },
        "yaml": { run(YAMLTarget.self, $0, $1) },
    ]

    static func main() {
        guard CommandLine.arguments.count > 1, let target = targets[CommandLine.arguments[1]] else {
            fatalError("the first argument names a target: \(targets.keys.sorted().joined(separator: ", "))")
        }
        // libFuzzer sees the program's name and what follows the target's.
        var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = CommandLine.unsafeArgv
        arguments?[1] = arguments?[0]
        arguments = arguments?.advanced(by: 1)
        var count = CommandLine.argc - 1
        _ = LLVMFuzzerRunDriver(&count, &arguments, target)
    }

    private static func run(_ target: any FuzzTarget.Type, _ bytes: UnsafePointer<UInt8>?, _ count: Int) -> Int32 {
        target.run(Array(UnsafeBufferPointer(start: bytes, count: count)))
        return 0
    }
}

/// One parser of outside bytes, and what has to hold for whatever it accepts.
protocol FuzzTarget {
    static func run(_ input: [UInt8])
}
