/// Which of the layers in front of the router a listener has. They change nothing but what an answer costs.
package struct FastPathLayers: OptionSet, Sendable {
    package let rawValue: Int

    /// `DirectRoutes`, behind the decoder.
    package static let direct = FastPathLayers(rawValue: 1)
    /// `VerifyGate`, in front of it.
    package static let gate = FastPathLayers(rawValue: 2)
    package static let all: FastPathLayers = [.direct, .gate]

    package init(rawValue: Int) {
        self.rawValue = rawValue
    }
}
