internal import Broker
internal import JOSE

/// What the values of a claim look like, as far as a provider says so.
enum ClaimForm {
    case text
    /// ASCII digits.
    case digits
    /// 36 characters (RFC 9562 §4).
    case uuid
    /// A digest of a commit: 40 hexadecimal digits, or 64.
    case commit
    case oneOf([String])
    case beginning(ExactString)
    /// Text that does not begin so; what to write instead.
    case notBeginning(ExactString, instead: String)
    case bool
    case number
    /// An array of text, or text.
    case texts
    /// Something with members.
    case object

    /// Whether a value is never an array or an object.
    var isScalar: Bool {
        switch self {
        case .texts, .object: false
        default: true
        }
    }

    /// Why no value of the claim fits the pattern; nil where one may.
    func objection(to pattern: ClaimMatcher.Pattern, of claim: ExactString) -> String? {
        switch (self, pattern) {
        case (.object, _): return "\(claim) is an object: match a member of it, /\(claim)/NAME"
        case (.bool, .bool), (.number, .number): return nil
        case (.bool, _): return "\(claim) is a boolean: write true or false without quotes"
        case (.number, _): return "\(claim) is a number: write it without quotes"
        case (_, .bool), (_, .number): return "\(claim) is text: write \(pattern.description.quoted), in quotes"
        case (_, .text(let glob)): return objection(to: glob, of: claim)
        }
    }

    private func objection(to glob: Glob, of claim: ExactString) -> String? {
        let bytes = glob.literalBytes
        let cannotHave = { (length: Int) in bytes.count > length || (!glob.hasWildcard && bytes.count < length) }
        switch self {
        case .digits:
            let isNumber = bytes.count <= 32 && bytes.allSatisfy { (0x30...0x39).contains($0) }
            return isNumber ? nil : "\(claim) has digits only, at most 32"
        case .uuid:
            let isUUID = !cannotHave(36) && bytes.allSatisfy { $0 == UInt8(ascii: "-") || Self.isHexadecimal($0) }
            return isUUID ? nil : "\(claim) is a UUID of 36 characters in lower case"
        case .commit:
            let isDigest = !(cannotHave(40) && cannotHave(64)) && bytes.allSatisfy(Self.isHexadecimal)
            return isDigest ? nil : "\(claim) is a digest of 40 or 64 hexadecimal digits in lower case"
        case .oneOf(let values):
            guard !values.contains(where: { glob.matches(ExactString($0)) }) else { return nil }
            return "\(claim) is \(values.map(\.quoted).joined(separator: " or "))"
        case .beginning(let prefix):
            return glob.canBegin(with: prefix) ? nil : "\(claim) begins with \(prefix)"
        case .notBeginning(let prefix, let instead):
            let begins = bytes.starts(with: Array(prefix.utf8)) && glob.pattern.string.hasPrefix(prefix.string)
            return begins ? "\(claim) does not begin with \(prefix): \(instead)" : nil
        case .text, .texts, .bool, .number, .object: return nil
        }
    }

    private static func isHexadecimal(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x61...0x66).contains(byte)
    }
}
