package runtime_test

const mkdir = -1 // there is mkdirat alone
