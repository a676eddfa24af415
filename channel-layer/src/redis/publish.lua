-- Numbers one message, keeps it, and publishes it with its position; or says why not, and does nothing.

return refusal() or keep(ARGV[11])
