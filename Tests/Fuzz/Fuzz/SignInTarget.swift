import BrokerClient
import Foundation

/// What a broker answers to a device that asks to be signed in, and the file of a sign-in: a person is sent nowhere but to an
/// https page, and nothing that is shown can move the cursor.
enum SignInTarget: FuzzTarget {
    static func run(_ input: [UInt8]) {
        if let json = try? JSON(parsing: Data(input), depth: 8), let asked = DeviceAuthorization(json) {
            precondition(asked.page.hasPrefix("https://") || asked.page.hasPrefix("http://"), "no page")
            precondition((asked.page + asked.userCode).utf8.allSatisfy { (0x20...0x7E).contains($0) }, "not plain")
            precondition(asked.interval >= .seconds(1) && asked.lifetime > .zero && asked.lifetime <= .seconds(3600))
            precondition((asked.notice?.count ?? 0) <= 500)
        }
        guard let saved = try? SavedSignIn(parsing: input, of: "https://a") else { return }
        guard let bytes = try? saved.encoded(),
            let again = try? SavedSignIn(parsing: Array(bytes), of: "https://a")
        else { preconditionFailure("a sign-in of ours is refused") }
        precondition(again == saved)
        precondition((try? SavedSignIn(parsing: Array(bytes), of: "https://b")) == nil, "it is another broker's")
    }
}
