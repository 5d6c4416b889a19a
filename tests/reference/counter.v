// A counter of any width with synchronous reset, and a decoder of its value.
module counter #(parameter W = 8) (input clk, input rst, input en, output reg [W-1:0] q, output reg [2:0] ones);
  integer i;
  always @(posedge clk)
    if (rst) q <= 0;
    else if (en) q <= q + 1;
  always @* begin
    ones = 0;
    for (i = 0; i < W; i = i + 1) ones = ones + q[i];
  end
endmodule
