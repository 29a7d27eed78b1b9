// An eight-bit counter with reset and a compare output.
module counter(input clk, input rst, input [7:0] limit, output reg [7:0] q, output hit);
  assign hit = (q == limit);
  always @(posedge clk)
    if (rst | hit) q <= 0;
    else q <= q + 1;
endmodule
