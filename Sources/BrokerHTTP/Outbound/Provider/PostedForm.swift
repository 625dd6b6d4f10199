import Broker
import FoundationEssentials
import JOSE

/// A form that is posted to a token endpoint (RFC 6749 §4.1.3), with the client's credential. All of it may be secret.
struct PostedForm: Sendable {
    /// With these a token endpoint says why it gives nothing (RFC 6749 §5.2); their bodies are read.
    static let errorStatuses = [400, 401]

    /// Form-encoded.
    let body: SecretText
    /// The value of the field `Authorization`.
    let authorization: SecretText?

    init(_ parameters: [(name: String, value: String)], authorization: SecretText? = nil) {
        body = SecretText(FormEncoding.encode(parameters))
        self.authorization = authorization
    }

    /// HTTP Basic, of a client (RFC 6749 §2.3.1): both parts are form-encoded first.
    static func basic(_ client: ExactString, _ secret: SecretText) -> SecretText {
        let pair = "\(FormEncoding.encode(client.string)):\(FormEncoding.encode(secret.reveal()))"
        return SecretText("Basic " + Data(pair.utf8).base64EncodedString())
    }
}

/// `application/x-www-form-urlencoded`, in the spelling that every reader of forms and of queries understands.
enum FormEncoding {
    static func encode(_ parameters: [(name: String, value: String)]) -> String {
        parameters.map { "\(encode($0.name))=\(encode($0.value))" }.joined(separator: "&")
    }

    /// Everything but the unreserved characters of RFC 3986 §2.3 is percent-encoded.
    static func encode(_ text: String) -> String {
        var bytes: [UInt8] = []
        for byte in text.utf8 {
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
                UInt8(ascii: "~"):
                bytes.append(byte)
            default: bytes += [UInt8(ascii: "%"), digit(byte >> 4), digit(byte & 0xF)]
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func digit(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 + value : 0x41 + value - 10 }
}
