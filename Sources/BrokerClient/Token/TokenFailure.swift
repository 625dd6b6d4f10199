/// Why there is no gateway token. The words hold no secret.
package enum TokenFailure: Error, Sendable, Hashable {
    /// This process can prove to nobody who it is; why.
    case noIdentity(String)
    /// What the caller gave cannot be used, such as a file; which, and why.
    case unusable(String)
    /// Nobody answers, or not in time; where, and why.
    case unreachable(String)
    /// The broker asks to come again, and after how long.
    case overloaded(String, after: Duration)
    /// Nobody is signed in, or not any more: a person has to sign in; why.
    case signedOut(String)
    /// The broker refuses, in its words.
    case refused(String)
    /// What came is no answer of a broker.
    case unreadable(String)

    package var words: String {
        switch self {
        case .noIdentity(let words), .unusable(let words), .unreachable(let words), .overloaded(let words, _),
            .signedOut(let words), .refused(let words), .unreadable(let words):
            words
        }
    }
}

extension TokenFailure {
    /// Whether whoever asks for the same hears the same. What is missing here may be there where another process is.
    var isOfBroker: Bool {
        switch self {
        case .noIdentity, .unusable, .signedOut: false
        case .unreachable, .overloaded, .refused, .unreadable: true
        }
    }

    /// As it is kept for whoever waits.
    var kind: String {
        switch self {
        case .noIdentity: "noIdentity"
        case .unusable: "unusable"
        case .unreachable: "unreachable"
        case .overloaded: "overloaded"
        case .signedOut: "signedOut"
        case .refused: "refused"
        case .unreadable: "unreadable"
        }
    }

    init?(kind: String, words: String, after pause: Duration) {
        switch kind {
        case "noIdentity": self = .noIdentity(words)
        case "unusable": self = .unusable(words)
        case "unreachable": self = .unreachable(words)
        case "overloaded": self = .overloaded(words, after: pause)
        case "signedOut": self = .signedOut(words)
        case "refused": self = .refused(words)
        case "unreadable": self = .unreadable(words)
        default: return nil
        }
    }
}
